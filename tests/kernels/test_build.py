"""Building the library: the cache, what goes wrong, and equal bytes from equal sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from coopdraw.kernels.cpu import build
from coopdraw.kernels.cpu.build import cpu_library, cpu_sources
from coopdraw.kernels.cpu.selection import CPU_KERNELS
from coopdraw.runtime.errors import KernelBuildError
from coopdraw.runtime.kernel_build import LIBRARY


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache with a space"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    yield folder
    left = [path.name for path in (folder / "coopdraw").glob("*") if "." in path.name]
    assert not left, "folders in which the library was built"


def fake_compiler(folder: Path, script: str) -> str:
    """A compiler that says which it is and then does what `script` says."""
    path = folder / "c++"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo fake && exit 0\n{script}\n')
    path.chmod(0o755)
    return str(path)


def write_sources(folder: Path) -> None:
    for name, data in cpu_sources().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.slow
def test_equal_sources_give_equal_bytes_wherever_they_lie(cache: Path, tmp_path: Path) -> None:
    """The library of the cache, and one that is built by hand from a bundle's sources."""
    library = cpu_library()
    assert library.is_relative_to(cache)
    assert library.parts[-2:] == LIBRARY.parts
    folder = tmp_path / "elsewhere" / "sources"
    write_sources(folder)
    subprocess.run(["sh", "cpu/build.sh", "by hand.so"], cwd=folder, check=True)
    assert (folder / "by hand.so").read_bytes() == library.read_bytes()
    for secret in (str(tmp_path), str(Path(build.__file__).parents[2])):
        assert secret.encode() not in library.read_bytes()


def test_every_source_is_handed_out() -> None:
    """Whatever the kernels include lies among the sources."""
    names = set(cpu_sources())
    assert {"cpu/build.sh", "cpu/entry.h", "cpu/parallel.cc", "attention/cpu.cc"} <= names
    for name, data in cpu_sources().items():
        included = {line.split(b'"')[1].decode() for line in data.splitlines() if line.startswith(b'#include "')}
        assert included <= names, name


def test_the_library_has_every_symbol_and_no_other() -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", cpu_library()], capture_output=True, text=True, check=True)
    symbols = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert symbols == {kernel.symbol for kernel in CPU_KERNELS.values()}


def test_the_cached_library_is_used_again(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    copy = 'for a in "$@"; do last=$a; done; echo made > "$last"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, f'echo "$@" >> "{log}"\n{copy}'))
    library = cpu_library()
    assert library.read_text() == "made\n"
    calls = log.read_text()
    assert cpu_library() == library
    assert log.read_text() == calls
    library.unlink()
    assert cpu_library() == library
    assert log.read_text() != calls


def test_other_sources_or_compilers_have_another_library(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = 'for a in "$@"; do last=$a; done; echo made > "$last"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, copy))
    first = cpu_library()
    sources = {**cpu_sources(), "geglu/cpu.cc": b"other"}
    monkeypatch.setattr(build, "cpu_sources", lambda: sources)
    second = cpu_library()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    path = Path(fake_compiler(tmp_path, copy))
    path.write_text(path.read_text().replace("echo fake", "echo newer"))
    monkeypatch.setenv("CXX", str(path))
    assert len({first, second, cpu_library()}) == 3


def test_without_a_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(KernelBuildError, match=r"there is no g\+\+; install g\+\+"):
        cpu_library()


def test_a_compiler_that_refuses_the_sources(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, "echo note >&2; echo 'a.cc:1: error: no such flag' >&2; exit 1"))
    with pytest.raises(KernelBuildError, match="error: no such flag"):
        cpu_library()


def test_a_compiler_that_cannot_say_its_version(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(fake_compiler(tmp_path, ""))
    path.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(KernelBuildError, match="broken"):
        cpu_library()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(KernelBuildError, match="XDG_CACHE_HOME"):
        cpu_library()


def test_processes_may_build_at_the_same_time(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow compiler makes them overlap; each finds a whole library, and nothing else is left."""
    copy = 'for a in "$@"; do last=$a; done; sleep 0.1; echo made > "$last"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, copy))
    code = "from coopdraw.kernels.cpu.build import cpu_library; print(cpu_library().read_text(), end='')"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in running] == ["made\n"] * 4
    assert len(os.listdir(cache / "coopdraw")) == 1


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs binutils")
def test_code_of_one_instruction_set_cannot_stand_in_for_another(tmp_path: Path) -> None:
    """Every function that the linker may merge, being in several objects, is in its level's own namespace."""
    write_sources(tmp_path)
    for name in cpu_sources():
        if not name.endswith("/cpu.cc"):
            continue
        flags = ["-std=c++17", "-O0", "-I.", "-fno-exceptions", "-Wno-psabi", "-mavx2", "-mfma"]
        command = ["g++", *flags, "-DCOOPDRAW_LEVEL=avx2", "-c", name, "-o", "object.o"]
        subprocess.run(command, cwd=tmp_path, check=True)
        listed = subprocess.run(["nm", "-C", "object.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
        merged = [line for line in listed.stdout.splitlines() if line.split()[-2:-1] and " W " in line]
        assert all("coopdraw::avx2::" in line for line in merged), merged


def test_an_installed_package_has_every_source() -> None:
    """The wheel takes along what the library is built from."""
    project = tomllib.loads((Path(build.__file__).parents[2] / "pyproject.toml").read_text())
    assert set(build._PATTERNS) <= set(project["tool"]["setuptools"]["package-data"]["coopdraw.kernels"])
