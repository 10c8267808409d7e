"""The tiny bundle: exported once, copied for tests that change it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runtime.tiny_bundle import write_bundle


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle; don't change it."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny.bundle")


@pytest.fixture
def bundle_copy(bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy.bundle"))
