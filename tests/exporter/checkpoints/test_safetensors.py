from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exporter.checkpoints.synthetic import read_all, write_safetensors_header
from exporter.models.shapes import WEIGHTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.safetensors import open_safetensors, open_sharded_safetensors
from coopdraw.graphs.errors import CoopdrawError, WeightError

FILE = WEIGHTS / "text_encoder" / "model.safetensors"


def test_values_are_those_that_the_safetensors_library_reads() -> None:
    path = WEIGHTS / "vae" / "diffusion_pytorch_model.safetensors"
    found, wanted = read_all(open_safetensors(path)), load_file(path)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_an_element_type_that_the_ir_does_not_have_is_named(tmp_path: Path) -> None:
    entry = {"dtype": "U16", "shape": [2], "data_offsets": [0, 4]}
    path = write_safetensors_header(tmp_path / "x.safetensors", {"x": entry}, 4)
    with pytest.raises(WeightError, match="tensor x has element type U16"):
        open_safetensors(path)


@pytest.mark.parametrize(
    ("offsets", "shape", "length"),
    [
        ([0, 8], [2], 4),
        ([4, 12], [2], 12),
        ([0, 8], [3], 8),
        ([8, 0], [2], 8),
        ([0, 2**63], [2**61], 8),
        ([0, 8], [2], 9),
    ],
)
def test_offsets_that_do_not_fit_the_file_are_an_error(
    offsets: list[int], shape: list[int], length: int, tmp_path: Path
) -> None:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    path = write_safetensors_header(tmp_path / "x.safetensors", {"x": entry}, length)
    with pytest.raises(WeightError, match="fetch the file again"):
        open_safetensors(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_an_error_or_a_readable_file(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(FILE.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        weights = open_safetensors(path)
    except CoopdrawError:
        return
    for weight in weights.values():
        assert weight.read().shape == weight.type.shape


def sharded(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    values = {f"x.{index}": np.full((2, 3), index, np.float32) for index in range(4)}
    weight_map = {}
    for shard in range(2):
        part = {name: value for index, (name, value) in enumerate(values.items()) if index % 2 == shard}
        save_file(part, folder / f"model-{shard}.safetensors")
        weight_map |= dict.fromkeys(part, f"model-{shard}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index, values


def test_shards_are_put_together(tmp_path: Path) -> None:
    index, values = sharded(tmp_path)
    found = read_all(open_sharded_safetensors(index))
    assert found.keys() == values.keys()
    assert all(np.array_equal(found[name], value) for name, value in values.items())


def test_a_lost_tensor_or_shard_is_named(tmp_path: Path) -> None:
    index, values = sharded(tmp_path)
    save_file({"x.1": values["x.1"]}, tmp_path / "model-1.safetensors")
    with pytest.raises(CheckpointError, match=r"model-1.safetensors holds x.3, but it does not"):
        open_sharded_safetensors(index)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(WeightError, match=r"model-1.safetensors"):
        open_sharded_safetensors(index)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 7, "a\\b"])
def test_shards_cannot_leave_the_folder(shard: object, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": shard}}))
    with pytest.raises(CheckpointError, match="not a file beside the index"):
        open_sharded_safetensors(index)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000])
def test_a_bad_index_is_an_error(content: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(CheckpointError, match="weight_map"):
        open_sharded_safetensors(index)


def test_two_gigabytes_are_mapped_not_loaded(tmp_path: Path) -> None:
    rows, size = 512, 2**22
    tensors = {
        f"x.{row}": {"dtype": "F32", "shape": [1024, 1024], "data_offsets": [row * size, (row + 1) * size]}
        for row in range(rows)
    }
    path = write_safetensors_header(tmp_path / "big.safetensors", tensors, rows * size)
    assert path.stat().st_size > 2**31
    code = """
import re, sys
from pathlib import Path
from coopdraw.exporter.checkpoints.safetensors import open_safetensors
def resident(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = resident()
weights = open_safetensors(Path(sys.argv[1]))
opened = resident()
assert weights["x.511"].read().sum() == 0
print(opened - before, resident() - before)
"""
    arguments = [sys.executable, "-c", code, str(path)]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    opened, read_one = map(int, output.split())
    # A header of 50 kB; then one tensor of 4 MB. The file is 2 GB.
    assert opened < 20e6
    assert read_one < 40e6
