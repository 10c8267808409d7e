"""Which library a bundle's kernels come from: its own, or one that is built here from its sources."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.kernel_library import LIBRARY, SOURCES, kernel_folder, standing_in

BUILD_SCRIPT = SOURCES / "cpu" / "build.sh"
SCRIPT = """\
#!/bin/sh
set -eu
case $1 in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
${CXX:-g++} -shared -fPIC -o "$output" "$(dirname "$0")/kernel.cc"
"""


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose library is for another machine, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "x.bundle"
    (folder / BUILD_SCRIPT).parent.mkdir(parents=True)
    (folder / BUILD_SCRIPT).write_text(SCRIPT)
    (folder / BUILD_SCRIPT).with_name("kernel.cc").write_text('extern "C" int answer() { return 42; }\n')
    (folder / LIBRARY).write_bytes(b"\x7fELF of another machine")
    return folder


def test_a_bundle_without_kernels_needs_no_folder(tmp_path: Path) -> None:
    assert kernel_folder(tmp_path) is None


def test_a_library_that_does_not_load_is_built_from_the_sources_(bundle: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    built = kernel_folder(bundle)
    assert built is not None
    assert built.is_relative_to(tmp_path / "cache")
    assert (built / LIBRARY).is_file()
    assert kernel_folder(bundle) == built
    for path, content in before.items():
        assert path.read_bytes() == content


def test_a_library_that_loads_is_used_as_it_is(bundle: Path) -> None:
    built = kernel_folder(bundle)
    assert built is not None
    (bundle / LIBRARY).write_bytes((built / LIBRARY).read_bytes())
    assert kernel_folder(bundle) == bundle


def test_without_a_compiler_the_fix_is_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendError, match=r"there is no no-such-compiler; install g\+\+"):
        kernel_folder(bundle)


def test_a_build_that_fails_is_one_sentence_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    (bundle / BUILD_SCRIPT).with_name("kernel.cc").write_text("int answer() { return nothing; }\n")
    with pytest.raises(BackendError, match=r"'nothing' was not declared") as error:
        kernel_folder(bundle)
    assert "\n" not in str(error.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_the_working_folder_comes_back(tmp_path: Path) -> None:
    before = os.getcwd()
    with standing_in(tmp_path):
        assert os.path.samefile(os.getcwd(), tmp_path)
    assert os.getcwd() == before
    with pytest.raises(ZeroDivisionError), standing_in(tmp_path):
        1 / 0  # noqa: B018
    assert os.getcwd() == before
