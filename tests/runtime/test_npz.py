"""Tensor files: what is written is read, and any damage is an InputError."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.npz import read_npz, write_npz

ARRAYS = {"context.text": np.arange(6, dtype=np.float32).reshape(2, 3), "scale": np.array(2.5)}


def npz_bytes() -> bytes:
    file = io.BytesIO()
    write_npz(file, ARRAYS)
    return file.getvalue()


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes(npz_bytes())
    found = read_npz(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    assert npz_bytes() == npz_bytes()


def test_a_tensor_named_file() -> None:
    file = io.BytesIO()
    write_npz(file, {"file": np.zeros(3)})
    file.seek(0)
    assert list(np.load(file)) == ["file"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(position=st.integers(0, len(npz_bytes()) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damage(tmp_path: Path, position: int, byte: int, cut: bool) -> None:
    raw = bytearray(npz_bytes())
    raw[position] = byte
    path = tmp_path / "in.npz"
    path.write_bytes(raw[: position + 1] if cut else raw)
    refusal = str(path)
    try:
        read_npz(path)
    except InputError as error:
        refusal = str(error)
    assert str(path) in refusal


def test_python_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, noise=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"\.npz"):
        read_npz(path)


def test_other_files(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text").write_text("hello")
    for name in ("one.npy", "text", "nothing"):
        with pytest.raises(InputError, match=name):
            read_npz(tmp_path / name)
