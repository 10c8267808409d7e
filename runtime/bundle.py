"""A compiled bundle on disk: one folder whose manifest lists every file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import MANIFEST_NAME, Form, Manifest
from coopdraw.runtime.manifest_reader import parse_manifest

MINDSPORE = "mindspore"
"""The backend of the bundle's own graph; those of others are the manifest's forms."""
# The manifest of a pipeline with thousands of weights has about 1 MB; more than this is no manifest.
LARGEST_MANIFEST = 64 * 2**20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Nothing is loaded yet: `Session` runs it."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str, check: bool = True) -> Bundle:
        """Opens a bundle folder; raises BundleError for one that is not exactly what its manifest says.

        The folder must hold the files of the manifest and nothing else, all plain files. With `check` every file is
        read and its sha256 compared; without, damage inside a file is not noticed.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise BundleError(f"{folder} is not a folder; give the folder that `coopdraw compile` wrote")
        manifest = _read_manifest(folder / MANIFEST_NAME)
        found = set(_plain_files(folder)) - {MANIFEST_NAME}
        for path in sorted(manifest.files.keys() - found):
            raise BundleError(f"{folder / path} is missing; copy the whole bundle or compile it again")
        for path in sorted(found - manifest.files.keys()):
            raise BundleError(
                f"{folder / path} is not listed in {MANIFEST_NAME}; remove it or compile the bundle again"
            )
        if check:
            for path, sha256 in sorted(manifest.files.items()):
                _check_file(folder / path, sha256)
        return cls(folder, manifest)

    def graph_for(self, backend: str) -> Path:
        """The sampling graph that a backend runs; raises BundleError if the bundle has none for it."""
        return self.graph_path if backend == MINDSPORE else self.folder / self._form(backend).graph

    def text_encoder_for(self, backend: str) -> Path | None:
        """The text encoder that a backend runs, None if the pipeline has none; raises as `graph_for` does."""
        if backend == MINDSPORE:
            return self.text_encoder_path
        path = self._form(backend).text_encoder
        return None if path is None else self.folder / path

    def _form(self, backend: str) -> Form:
        try:
            return self.manifest.forms[backend]
        except KeyError:
            known = ", ".join((MINDSPORE, *sorted(self.manifest.forms)))
            raise BundleError(
                f"{self.folder} has nothing for the backend {backend}, only for {known}; "
                f"compile it with {backend} in target.forms"
            ) from None

    @property
    def graph_path(self) -> Path:
        """The sampling graph's `.mindir`."""
        return self.folder / self.manifest.graph

    @property
    def text_encoder_path(self) -> Path | None:
        """The text encoder's `.mindir`, if the pipeline has one."""
        encoder = self.manifest.text_encoder
        return None if encoder is None else self.folder / encoder.graph


def _read_manifest(path: Path) -> Manifest:
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise BundleError(
            f"{path.parent} has no {MANIFEST_NAME}; give a folder that `coopdraw compile` wrote"
        ) from None
    _require_plain(path, status.st_mode)
    if status.st_size > LARGEST_MANIFEST:
        raise BundleError(f"{path} has {status.st_size} bytes, too many for a manifest; compile the bundle again")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8 text ({error.reason}); compile the bundle again") from error
    return parse_manifest(text)


def _require_plain(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path} is not a plain file; a bundle has no links or devices, copy it with `cp -rL`")


def _plain_files(folder: Path) -> Iterator[str]:
    """Relative POSIX paths of all files below `folder`; links and devices are errors."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        for name in folders:
            path = Path(parent, name)
            if path.is_symlink():
                raise BundleError(f"{path} is a symbolic link; a bundle has no links, copy it with `cp -rL`")
        for name in names:
            path = Path(parent, name)
            _require_plain(path, path.lstat().st_mode)
            yield path.relative_to(folder).as_posix()


def _check_file(path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        raise BundleError(f"{path} is damaged: its sha256 is not the manifest's; copy the bundle again or compile it")
