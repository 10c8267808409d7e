"""A bundle opens only when it is exactly what its manifest says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from runtime.tiny_bundle import write_manifest

from coopdraw.runtime import bundle as bundle_module
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import MANIFEST_NAME

FILES = ("sampling.mindir", "text_encoder.mindir", "deploy/README.md")


def refused(folder: Path, check: bool = True) -> str:
    with pytest.raises(BundleError) as error:
        Bundle.open(folder, check)
    return str(error.value)


def test_opens(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    assert bundle.manifest.name == "tiny"
    assert bundle.graph_path.is_file()
    assert bundle.text_encoder_path is not None
    assert sorted(bundle.manifest.files) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_flipped_bit(bundle_copy: Path, name: str, place: float) -> None:
    path = bundle_copy / name
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    path.write_bytes(raw)
    assert name in refused(bundle_copy)
    Bundle.open(bundle_copy, check=False)  # says that it doesn't look


@pytest.mark.parametrize("name", FILES)
def test_truncated(bundle_copy: Path, name: str) -> None:
    path = bundle_copy / name
    path.write_bytes(path.read_bytes()[:-1])
    assert name in refused(bundle_copy)


@pytest.mark.parametrize("name", [*FILES, MANIFEST_NAME])
def test_missing(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    assert name in refused(bundle_copy, check=False)


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "deploy/extra", "new/file"])
def test_unlisted(bundle_copy: Path, name: str) -> None:
    path = bundle_copy / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert name in refused(bundle_copy, check=False)


def test_links_are_refused(bundle_copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (bundle_copy / "sampling.mindir").rename(outside)
    (bundle_copy / "sampling.mindir").symlink_to(outside)
    assert "sampling.mindir" in refused(bundle_copy, check=False)


def test_linked_folders_are_refused(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "deploy").rename(tmp_path / "outside")
    (bundle_copy / "deploy").symlink_to(tmp_path / "outside")
    assert "symbolic link" in refused(bundle_copy, check=False)


@pytest.mark.parametrize("name", ["sampling.mindir", MANIFEST_NAME])
def test_pipes_are_refused_without_waiting(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    os.mkfifo(bundle_copy / name)
    assert "plain file" in refused(bundle_copy)


def test_paths_that_leave(bundle_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    path = bundle_copy / MANIFEST_NAME
    data = json.loads(path.read_text())
    data["files"]["../outside"] = "0" * 64
    path.write_text(json.dumps(data))
    assert "../outside" in refused(bundle_copy)


def test_other_folders(tmp_path: Path) -> None:
    assert MANIFEST_NAME in refused(tmp_path)
    assert "not a folder" in refused(tmp_path / "nothing")
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(tmp_path)


def test_oversized_manifest(bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "LARGEST_MANIFEST", 100)
    assert "too many" in refused(bundle_copy)


def test_rewritten_bundle_opens(bundle_copy: Path) -> None:
    (bundle_copy / "more.txt").write_text("more")
    write_manifest(bundle_copy)
    assert "more.txt" in Bundle.open(bundle_copy).manifest.files
