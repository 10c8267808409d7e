"""Builds Cells without allocating their weights, and fills them for eager runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from coopdraw.exporter.models.configuration import ModelConfig
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight
from coopdraw.runtime.backends.mindspore import prepare_environment

if TYPE_CHECKING:
    from mindspore import nn

CellKind = Literal[
    "unet", "unet_controlled", "control_hint", "controlnet", "t2i_adapter", "vae_encoder", "vae_decoder", "words"
]


def build_cell(kind: CellKind, config: ModelConfig) -> nn.Cell:
    """The Cell of a built-in model, in inference mode, with parameters that have names and types but no data.

    Raises ConfigurationError if the configuration is of another kind of model.
    """
    prepare_environment()
    from mindspore.nn.utils import no_init_parameters

    with no_init_parameters():
        cell = _construct(kind, config)
    cell.set_train(False)
    return cell


def parameter_types(cell: nn.Cell) -> dict[str, TensorType]:
    """Name (in the released layout, without the model's prefix) and type of every parameter of a Cell."""
    return {
        name: TensorType(DType(str(parameter.dtype).lower()), tuple(parameter.shape))
        for name, parameter in cell.parameters_and_names()
    }


def load_eagerly(cell: nn.Cell, weights: Mapping[str, Weight]) -> nn.Cell:
    """Reads every parameter of a Cell into memory, for runs in PyNative mode; returns the Cell.

    `weights` must have every parameter, with its type (`coopdraw.exporter.checkpoints.load.match` sees to that).
    """
    from mindspore import Tensor

    for name, parameter in cell.parameters_and_names():
        parameter.set_data(Tensor(weights[name].read()))
    return cell


def _construct(kind: CellKind, config: ModelConfig) -> nn.Cell:
    from coopdraw.exporter.models.cells import CELLS

    wanted, construct = CELLS[kind]
    # Not isinstance: a ControlNetConfig is a UNetConfig too, but describes no UNet.
    if type(config) is not wanted:
        raise ConfigurationError(
            f"no built-in model of kind {kind!r} has a {type(config).__name__}; check the model's kind"
        )
    return construct(config)
