"""Cells of the user in place of a built-in model: `cell = "package.module:factory"`, run only with `--trust-code`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopdraw.exporter.errors import RecipeError
from coopdraw.runtime.backends.mindspore import prepare_environment

if TYPE_CHECKING:
    from mindspore import nn


@dataclass(frozen=True)
class CellConfig:
    """What the recipe says of such a model.

    `factory` is called with `arguments` as keywords. `inputs` has the shape of each input without the batch: `latent`,
    `context` and perhaps `vector` for a UNet, `latent` for a decoder.
    """

    factory: str
    arguments: Mapping[str, Any]
    inputs: Mapping[str, tuple[int, ...]]


def build_custom_cell(config: CellConfig, folder: Path) -> nn.Cell:
    """Imports the factory (from `folder`, the recipe's, or installed packages), calls it and allocates no weights.

    Raises RecipeError when it can't be imported, fails, or gives something that is no Cell.
    """
    prepare_environment()
    from mindspore import nn
    from mindspore.nn.utils import no_init_parameters

    module, _, name = config.factory.partition(":")
    with _importable(folder):
        try:
            factory = getattr(importlib.import_module(module), name)
            with no_init_parameters():
                cell = factory(**config.arguments)
        except Exception as error:
            # Foreign code can raise anything; the traceback is there with --debug.
            raise RecipeError(f"cell {config.factory} failed: {type(error).__name__}: {error}; see --debug") from error
    if not isinstance(cell, nn.Cell):
        raise RecipeError(f"cell {config.factory} gave a {type(cell).__name__}; return an nn.Cell")
    cell.set_train(False)
    return cell


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))
