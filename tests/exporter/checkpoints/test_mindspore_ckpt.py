from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter.checkpoints.synthetic import checkpoint_value, field, read_all, save_mindspore_ckpt, varint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopdraw.exporter.checkpoints.mindspore_ckpt import open_mindspore_checkpoint
from coopdraw.graphs.errors import WeightError

VALUES = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "a.bias": np.linspace(0, 1, 5).astype(np.float16),
    "counter": np.asarray(7, np.int64),
    "flag": np.asarray([True, False]),
    "b.weight": np.random.default_rng(0).standard_normal((4, 3, 2, 1)).astype(np.float64),
}
SMALL = b"".join(
    checkpoint_value(f"layer.{index}.weight".encode(), (2, 3), b"Float32", bytes(range(24))) for index in range(3)
)


def open_bytes(content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "x.ckpt"
    path.write_bytes(content)
    return read_all(open_mindspore_checkpoint(path))


def assert_as_mindspore_loads(path: Path) -> None:
    import mindspore

    wanted = mindspore.load_checkpoint(str(path))
    found = read_all(open_mindspore_checkpoint(path))
    assert list(found) == list(wanted)
    for name, parameter in wanted.items():
        np.testing.assert_array_equal(found[name], parameter.asnumpy(), strict=True)


@pytest.mark.parametrize("checksum", [False, True])
def test_values_are_those_that_mindspore_loads(checksum: bool, tmp_path: Path) -> None:
    assert_as_mindspore_loads(save_mindspore_ckpt(tmp_path / "x.ckpt", VALUES, crc_check=checksum))


def test_large_tensors_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mindspore.train import serialization

    monkeypatch.setattr(serialization, "SLICE_SIZE", 1)  # KB per part instead of 512 MB
    values = {"large": np.arange(5000, dtype=np.float32).reshape(50, 100), "small": np.ones(3, np.float32)}
    path = save_mindspore_ckpt(tmp_path / "x.ckpt", values)
    weights = open_mindspore_checkpoint(path)
    assert len(weights["large"].segments) > 10
    np.testing.assert_array_equal(weights["large"].read(), values["large"])
    assert_as_mindspore_loads(path)


def test_text_of_the_training_state_is_left_out(tmp_path: Path) -> None:
    path = save_mindspore_ckpt(tmp_path / "x.ckpt", VALUES, append_dict={"scheduler": "cosine", "epoch": 3})
    assert open_mindspore_checkpoint(path).keys() == {*VALUES, "epoch"}


def test_an_encrypted_file_says_so(tmp_path: Path) -> None:
    path = save_mindspore_ckpt(tmp_path / "x.ckpt", VALUES, enc_key=b"0123456789ABCDEF", enc_mode="AES-GCM")
    with pytest.raises(WeightError, match="encrypted"):
        open_mindspore_checkpoint(path)


def test_hand_made_bytes_are_read(tmp_path: Path) -> None:
    found = open_bytes(SMALL, tmp_path)
    assert list(found) == ["layer.0.weight", "layer.1.weight", "layer.2.weight"]
    np.testing.assert_array_equal(found["layer.1.weight"], np.frombuffer(bytes(range(24)), np.float32).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot map"),
        (b"\0" * 1000, "unexpected field 0"),
        (b"\xff" * 1000, "more than 64 bits"),
        (b"\n" + varint(2**63), "bytes long"),
        (b"\n" + b"\x80" * 5, "ends inside a number"),
        (field(1, b""), "without tag"),
        (field(1, field(1, b"x")), "without tensor"),
        (field(1, field(1, b"x") * 2), "unexpected field 1"),
        (field(1, field(1, b"x") + field(3, b"")), "unexpected field 3"),
        (field(1, field(1, b"x") + field(2, b"")), "has no type"),
        (field(1, field(1, b"x") + field(2, field(2, b"Float32"))), "has no content"),
        (field(1, field(1, b"\xff\xfe") + field(2, b"")), "not UTF-8"),
        (field(1, field(1, b"x" * 5000) + field(2, b"")), "a name of 5000 bytes"),
        (checkpoint_value(b"x", (2, 2), b"Float32", bytes(12)), "float32.2, 2. has 12 bytes"),
        (checkpoint_value(b"x", (2**62, 2**62), b"Float32", bytes(12)), "has 12 bytes"),
        (checkpoint_value(b"x", (1,) * 9, b"Float32", bytes(4)), "unexpected field 1 in tensor x"),
        (checkpoint_value(b"x", (1,), b"Complex64", bytes(8)), "element type Complex64"),
        (checkpoint_value(b"x", (2,), b"Int8", b"a") + checkpoint_value(b"x", (2,), b"UInt8", b"b"), "differ in type"),
        (SMALL + SMALL, "layer.0.weight twice"),
        (SMALL + b"\x08\x01", "unexpected field 1"),
    ],
)
def test_bad_bytes_are_an_error_that_says_what(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=reason):
        open_bytes(content, tmp_path)


def test_millions_of_tiny_tensors_are_refused_early(tmp_path: Path) -> None:
    content = checkpoint_value(b"x", (1,), b"Int8", b"a") * 100_001
    with pytest.raises(WeightError, match="more than 100000 tensors"):
        open_bytes(content, tmp_path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(1, len(SMALL)),
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(1, 255)), max_size=4),
)
def test_damage_is_an_error_or_a_readable_file(length: int, flips: list[tuple[int, int]], tmp_path: Path) -> None:
    content = bytearray(SMALL)
    for position, bits in flips:
        content[position] ^= bits
    try:
        found = open_bytes(bytes(content[:length]), tmp_path)
    except WeightError:
        return
    assert len(found) <= 3


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=300))
def test_noise_is_an_error_or_a_readable_file(content: bytes, tmp_path: Path) -> None:
    with contextlib.suppress(WeightError):
        open_bytes(content, tmp_path)
