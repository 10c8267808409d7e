"""What a bundle says about itself: `manifest.json`, format version 1, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.strict_json import JsonValue

FORMAT = 1
MANIFEST_NAME = "manifest.json"
TEXT = "text"
"""The branch of guidance that predicts at every step."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its extents (batch first), NumPy dtype name, and what it means in one phrase."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str


@dataclass(frozen=True)
class Feed:
    """Where the text encoder's outputs for one guidance branch go: output name -> input name of the sampling graph."""

    branch: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class TextEncoder:
    """The text encoder's graph. `words[id]` is the word of a token; `words[0]` is the padding.

    `tokens` is its only input, (B, context_length); `outputs` are in the order in which the graph returns them.
    """

    graph: str
    tokens: TensorSpec
    outputs: tuple[TensorSpec, ...]
    words: tuple[str, ...]
    context_length: int
    feeds: tuple[Feed, ...]


@dataclass(frozen=True)
class Step:
    """One step of the plan: timestep `t`, noise levels before and after it, and the model that predicts the noise.

    `partners` are models that predict too, `transfers` the functions that carry predictions between latent spaces,
    `adapters` what steers the models at this step. `branches` are those of guidance in the batch of every model; `text`
    alone is a step without guidance.
    """

    step: int
    t: int
    sigma: float
    sigma_next: float
    model: str
    partners: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    branches: tuple[str, ...] = (TEXT,)


@dataclass(frozen=True)
class Model:
    """A model that was compiled: its kind and architecture, and the LoRAs merged into its weights."""

    kind: str
    config: Mapping[str, JsonValue]
    loras: tuple[Mapping[str, JsonValue], ...] = ()


@dataclass(frozen=True)
class Function:
    """A function of the sampling graph: number of nodes and the sha256 of its text form."""

    name: str
    nodes: int
    sha256: str


@dataclass(frozen=True)
class WeightInfo:
    """A stored weight; `sha256` is of its little-endian bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Form:
    """The same graphs for another runtime: files of its own with the same inputs and outputs."""

    graph: str
    text_encoder: str | None


@dataclass(frozen=True)
class Manifest:
    """The whole manifest. `forms` are those of other runtimes by backend (`lite`, `onnx`, `ascend`). `passes`,
    `verification`, `recipe` and `device` (empty unless the bundle is for an Atlas host) are what their writers made
    them.

    `files` has the sha256 of every file of the bundle except the manifest, by relative POSIX path.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    graph: str
    text_encoder: TextEncoder | None
    forms: Mapping[str, Form]
    steps: tuple[Step, ...]
    models: Mapping[str, Model]
    functions: tuple[Function, ...]
    weights: Mapping[str, WeightInfo]
    passes: tuple[Mapping[str, JsonValue], ...]
    verification: Mapping[str, JsonValue]
    device: Mapping[str, JsonValue]
    tools: Mapping[str, str]
    recipe: Mapping[str, JsonValue]
    files: Mapping[str, str]

    @property
    def batch(self) -> int:
        """Pictures per run: the first extent of every input and output."""
        return self.outputs[0].shape[0]

    def to_json(self) -> str:
        """Canonical text: keys sorted, indented by 1, a newline at the end. `parse_manifest` reads and checks it."""
        try:
            return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, indent=1, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise BundleError(f"the manifest of {self.name} cannot be written as JSON: {error}; report it") from error
