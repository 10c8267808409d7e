"""The plan of a Lite program: which models are run on what, in which order, and what the results are."""

from __future__ import annotations

import json
from dataclasses import dataclass

from coopdraw.graphs.types import TensorType

FORMAT = "coopdraw-plan"
VERSION = 1


@dataclass(frozen=True)
class PlanConstant:
    """A value whose bytes (little-endian, C order) lie in a file beside the plan."""

    value: int
    file: str
    offset: int


@dataclass(frozen=True)
class PlanStep:
    """One run of a model: values by index, in the order of the model's inputs and outputs."""

    model: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Values are numbered; each is an input, a constant or an output of one step, made before it is read.

    `models` and files of constants are relative to the folder of the plan. `inputs` and `outputs` are (name, value) in
    the order of the program's own.
    """

    models: tuple[str, ...]
    values: tuple[TensorType, ...]
    inputs: tuple[tuple[str, int], ...]
    constants: tuple[PlanConstant, ...]
    steps: tuple[PlanStep, ...]
    outputs: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """One entry a line, the same bytes every time."""
        tables = {
            "models": self.models,
            "values": [[type.dtype.value, list(type.shape)] for type in self.values],
            "inputs": self.inputs,
            "constants": [[constant.value, constant.file, constant.offset] for constant in self.constants],
            "steps": [[step.model, step.inputs, step.outputs] for step in self.steps],
            "outputs": self.outputs,
        }
        head = [f' "format": {json.dumps(FORMAT)}', f' "version": {VERSION}']
        rows = [f" {json.dumps(name)}: [{_lines(table)}]" for name, table in tables.items()]
        return "{\n" + ",\n".join(head + rows) + "\n}\n"


def _lines(table: object) -> str:
    assert isinstance(table, (list, tuple))
    return ",".join(f"\n  {json.dumps(entry)}" for entry in table) + ("\n " if table else "")
