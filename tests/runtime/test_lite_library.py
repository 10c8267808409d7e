"""Fetching MindSpore Lite's libraries: checked, whole or not at all, and a clear sentence when it can't be done."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from pathlib import Path

import pytest

from coopdraw.runtime import lite_library
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.lite_library import WHEEL_VARIABLE, lite_folder
from coopdraw.runtime.lite_program import PROGRAM_VARIABLE, lite_program

CONTENT = {
    "mindspore_lite/lib/libdnnl.so.2": b"library",
    "mindspore_lite/lib/libtensorrt_plugin_python.so": b"not needed",
    "mindspore_lite/include/api/model.h": b"// header\n",
    "mindspore_lite/model.py": b"",
    "mindspore_lite-2.0.0.dist-info/RECORD": b"",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
    return tmp_path / "cache" / "coopdraw"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in the place of the published one."""
    path = tmp_path / "lite.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    monkeypatch.setenv(WHEEL_VARIABLE, str(path))
    monkeypatch.setattr(lite_library, "WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(lite_library, "_LIBRARIES", {"libdnnl.so.2": 7})
    monkeypatch.setattr(lite_library, "_PATHS", frozenset({"lib/libdnnl.so.2"}))
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_headers_and_needed_libraries_are_kept(cache: Path, wheel: Path) -> None:
    folder = lite_folder()
    assert folder == cache / "mindspore-lite-2.0.0"
    assert files_of(folder) == ["include/api/model.h", "lib/libdnnl.so.2"]
    assert files_of(cache) == ["mindspore-lite-2.0.0.lock", *(f"{folder.name}/{name}" for name in files_of(folder))]
    wheel.unlink()
    assert lite_folder() == folder


def test_a_damaged_cache_is_fetched_again(cache: Path, wheel: Path) -> None:
    library = lite_folder() / "lib" / "libdnnl.so.2"
    library.write_bytes(b"cut")
    assert lite_folder() == cache / "mindspore-lite-2.0.0"
    assert library.read_bytes() == b"library"
    library.unlink()
    lite_folder()
    assert library.read_bytes() == b"library"


def test_another_wheel_is_refused_and_leaves_nothing(cache: Path, wheel: Path) -> None:
    data = bytearray(wheel.read_bytes())
    data[10] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(BackendError, match=r"lite\.whl is not the published wheel: its sha256 differs"):
        lite_folder()
    assert files_of(cache) == ["mindspore-lite-2.0.0.lock"]


def test_a_wheel_that_is_not_there(cache: Path, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(BackendError, match=f"{WHEEL_VARIABLE} names .*lite.whl, which is no file; give the path of"):
        lite_folder()


def test_two_at_once_fetch_once(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    extract = lite_library._extract

    def slow(path: Path, folder: Path) -> None:
        fetched.append(folder)
        barrier.wait(1.0 if len(fetched) > 1 else None)  # until the other one stands at the lock
        extract(path, folder)

    barrier = threading.Barrier(2)
    monkeypatch.setattr(lite_library, "_extract", slow)
    first = threading.Thread(target=lite_folder)
    second = threading.Thread(target=lite_folder)
    first.start()
    second.start()
    barrier.wait()
    first.join()
    second.join()
    assert len(fetched) == 1
    assert files_of(lite_folder()) == ["include/api/model.h", "lib/libdnnl.so.2"]


def test_without_a_package_index_the_fix_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(WHEEL_VARIABLE, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(BackendError, match=rf"pip cannot fetch mindspore_lite-2\.0\.0.*name it in {WHEEL_VARIABLE}$"):
        lite_folder()
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "fetching MindSpore Lite 2.0.0 (169 MB, once)\n")
    assert files_of(cache) == ["mindspore-lite-2.0.0.lock"]


def test_other_machines_have_another_way(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(BackendError, match=f"for x86-64 Linux, not for aarch64 Linux; build .* {PROGRAM_VARIABLE}"):
        lite_folder()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackendError, match=r"cannot be stored in .* set XDG_CACHE_HOME"):
        lite_folder()


def test_a_program_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "coopdraw-run"
    monkeypatch.setenv(PROGRAM_VARIABLE, str(program))
    with pytest.raises(BackendError, match=f"{PROGRAM_VARIABLE} names .*, which is no program"):
        lite_program()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert lite_program() == program
