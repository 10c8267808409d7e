"""How one primitive of a MindIR file reaches its importer: typed access to arguments, and the registry."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Attribute, Value
from coopdraw.graphs.registry import Registry
from coopdraw.graphs.types import DType, TensorType

MONAD = object()
"""Stands for MindSpore's ordering tokens, which a pure graph doesn't need."""

Imported: TypeAlias = object
"""What a MindIR name can stand for: a Value, an array, a Python scalar, None, a str, or a tuple of these."""

Importer: TypeAlias = "Callable[[PrimitiveCall], Imported]"


@dataclass(frozen=True)
class PrimitiveCall:
    """One node of a MindIR file: monads are gone from `arguments`.

    `declared` has the type that the file states for each output, None for one that is no tensor; it is None itself
    where the file says nothing.
    """

    operator: str
    arguments: Sequence[Imported]
    attributes: Mapping[str, Imported]
    builder: GraphBuilder
    declared: tuple[TensorType | None, ...] | None

    def error(self, problem: str) -> MindirError:
        """An error that names the primitive and its Cell, in one line whatever arrays and strings bring."""
        source = self.builder.source
        place = f"Cell {source}" if source else "the top Cell"
        return MindirError(f"{self.operator} in {place} {' '.join(problem.split())}")

    def add(self, operator: str, *inputs: Value, **attributes: Attribute) -> Value:
        return self.builder.add_many(operator, *inputs, names=None, **attributes)[0]

    def argument(self, index: int) -> Imported:
        """Argument `index`, None if there are fewer."""
        return self.arguments[index] if index < len(self.arguments) else None

    def tensor(self, index: int, like: DType | None = None) -> Value:
        """Argument `index` as a Value; a scalar becomes a 0-d constant of dtype `like` (float32 without it)."""
        return self._as_tensor(self.argument(index), index, like or DType.FLOAT32)

    def _as_tensor(self, found: Imported, index: int, dtype: DType) -> Value:
        if isinstance(found, Value):
            return found
        if isinstance(found, np.ndarray):
            return self.builder.constant(found)
        if isinstance(found, (bool, int, float)):
            return self.tensor_of(found, dtype)
        raise self.error(f"has {_shown(found)} as input {index + 1}, where a tensor is needed; export the file again")

    def tensor_of(self, number: float, dtype: DType) -> Value:
        """A 0-d constant; raises MindirError if an integer type can't hold the number."""
        with np.errstate(all="ignore"):
            array = np.asarray(number).astype(dtype.numpy)
        if not dtype.is_floating and array.item() != number:
            raise self.error(f"has {number} for a tensor of {dtype}, which can't hold it; cast the tensor in the Cell")
        return self.builder.constant(array)

    def filled(self, number: float, type: TensorType) -> Value:
        """A tensor of equal elements, as a broadcast: the file says how large it is, so its bytes are not made here."""
        return self.add("broadcast_to", self.tensor_of(number, type.dtype), shape=type.shape)

    def axis(self, found: int, rank: int) -> int:
        """An axis counted from the front; raises MindirError unless -rank <= found < rank."""
        if not -rank <= found < rank:
            raise self.error(f"names axis {found} of a tensor that has {rank}; export the file again")
        return found % rank

    def tensors(self, index: int) -> tuple[Value, ...]:
        """Argument `index` as a tuple of Values, or all arguments if it is a single tensor."""
        found = self.argument(index)
        items = found if isinstance(found, tuple) else tuple(self.arguments)
        if not items:
            raise self.error("gets no tensors; export the file again")
        return tuple(self._as_tensor(item, index, DType.FLOAT32) for item in items)

    def number(self, index: int) -> float:
        """Argument `index` as a float."""
        found = self._plain(self.argument(index))
        if isinstance(found, (bool, int, float)):
            return float(found)
        raise self.error(
            f"has {_shown(found)} as input {index + 1}, where a constant number is needed; make it a constant"
        )

    def integer(self, index: int) -> int:
        found = self._plain(self.argument(index))
        if isinstance(found, (bool, int)):
            return int(found)
        raise self.error(
            f"has {_shown(found)} as input {index + 1}, where a constant integer is needed; make it a constant"
        )

    def boolean(self, index: int) -> bool:
        return bool(self.integer(index))

    def integers(self, index: int) -> tuple[int, ...]:
        """Argument `index` as a tuple of integers; one integer is a tuple of one."""
        return self._integers(self.argument(index), f"as input {index + 1}")

    def integers_attribute(self, name: str) -> tuple[int, ...]:
        return self._integers(self.attributes.get(name), f"as attribute {name}")

    def integer_attribute(self, name: str, default: int | None = None) -> int:
        found = self.attributes.get(name, default)
        if isinstance(found, (bool, int)):
            return int(found)
        raise self.error(f"has {_shown(found)} as attribute {name}, where an integer is needed; export the file again")

    def output_type(self) -> TensorType:
        """The type that the file declares for the only output."""
        declared = self.declared or ()
        if len(declared) != 1 or declared[0] is None:
            raise self.error("has no declared output shape; export the file again")
        return declared[0]

    def _integers(self, found: Imported, where: str) -> tuple[int, ...]:
        plain = self._plain(found)
        items = plain if isinstance(plain, tuple) else (plain,)
        integers = tuple(int(item) for item in items if isinstance(item, (bool, int)))
        if len(integers) == len(items):
            return integers
        raise self.error(f"has {_shown(found)} {where}, where constant integers are needed; export with static shapes")

    @staticmethod
    def _plain(found: Imported) -> Imported:
        if isinstance(found, np.ndarray):
            return tuple(found.tolist()) if found.ndim else found.item()
        return found


def _shown(found: Imported) -> str:
    """How an error shows something unexpected; short, since tuples of tuples can be huge."""
    return reprlib.repr(found)


primitive = Registry[Importer]("an importer of the primitive")


def find_importer(call: PrimitiveCall) -> Importer:
    """The importer of a primitive; raises MindirError that names the primitive and its Cell if there is none."""
    found = primitive.find(call.operator)
    if found is None:
        raise call.error(
            "is not supported; use another primitive in the Cell or add an importer under graphs/mindir/importers"
        )
    return found


def imported_primitives() -> tuple[str, ...]:
    """Names of the primitives that have an importer."""
    return primitive.names()
