"""How a canonical node becomes ONNX nodes: the emitter that rules write with, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from coopdraw.graphs.errors import OnnxError
from coopdraw.graphs.ir import Node
from coopdraw.graphs.node_view import NodeView
from coopdraw.graphs.onnx.form import OnnxForm
from coopdraw.graphs.onnx.protobuf import TENSOR_CODES, onnx, tensor
from coopdraw.graphs.registry import Registry
from coopdraw.graphs.types import DType

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""

Scalar: TypeAlias = "int | float | str | Sequence[int] | Sequence[str]"
Rule: TypeAlias = "Callable[[NodeEmitter], Sequence[str]]"


class Scope:
    """A graph or a function in the making: its nodes, its weights, and names that are unique in it.

    A scope inside another one, such as the body of a loop, shares its names with `parent`.
    """

    def __init__(self, form: OnnxForm, taken: Iterable[str] = (), parent: Scope | None = None) -> None:
        self.form = form
        self.nodes: list[Any] = []
        self.weights: dict[str, str] = {}
        self._counts: dict[str, int] = parent._counts if parent else dict.fromkeys(taken, 1)
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], str] = {}

    def unique_name(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3` ... if it is taken."""
        count = self._counts.get(wish, 0) + 1
        self._counts[wish] = count
        return wish if count == 1 and wish else self.unique_name(f"{wish}_{count}")

    def weight(self, name: str) -> str:
        """What a weight of the module is called here."""
        if name not in self.weights:
            self.weights[name] = self.unique_name(name)
        return self.weights[name]

    def append(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        source: str = "",
        **attributes: Any,
    ) -> None:
        """A node; `source` is the Cell path that stands in its name."""
        node = onnx().NodeProto(op_type=op_type, input=inputs, output=outputs, domain=domain)
        node.name = f"{source}/{outputs[0]}" if source else outputs[0]
        for key in sorted(attributes):
            node.attribute.append(onnx().helper.make_attribute(key, attributes[key]))
        self.nodes.append(node)

    def constant(self, array: np.ndarray, wish: str = "constant") -> str:
        """A Constant node; equal ones are the same."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.tobytes(), array.dtype.name, array.shape)
        if key not in self._constants:
            self._constants[key] = self.unique_name(wish)
            self.append("Constant", (), (self._constants[key],), value=tensor(array))
        return self._constants[key]


class NodeEmitter(NodeView):
    """What an emission rule sees: the node, the ONNX names of its inputs, and ways to add ONNX nodes."""

    def __init__(self, scope: Scope, node: Node, inputs: Sequence[str]) -> None:
        self.scope = scope
        super().__init__(node, inputs)

    def flag(self, name: str) -> bool:
        return bool(self.node.attributes[name])

    def text(self, name: str) -> str:
        return str(self.node.attributes[name])

    def add(self, op_type: str, *inputs: str, domain: str = "", **attributes: Scalar) -> str:
        """A node with one output."""
        return self.add_many(op_type, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Scalar
    ) -> tuple[str, ...]:
        """A node with any number of outputs, named after those of the canonical node."""
        wishes = [value.name for value in self.node.outputs]
        wishes += [wishes[0]] * (outputs - len(wishes))
        names = tuple(self.scope.unique_name(wish) for wish in wishes[:outputs])
        self.scope.append(op_type, inputs, names, domain, self.node.source, **attributes)
        return names

    def shape(self, values: Sequence[int]) -> str:
        """A constant list of integers: shapes, axes, sizes."""
        return self.scope.constant(np.asarray(values, np.int64), "shape")

    def scalar(self, value: float, dtype: DType) -> str:
        """A 0-d constant; what is out of the type's range becomes infinite."""
        with np.errstate(over="ignore"):
            return self.scope.constant(np.asarray(value, dtype.numpy))

    def array(self, array: np.ndarray) -> str:
        return self.scope.constant(array)

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", name, self.shape(shape))

    @property
    def wide_dtype(self) -> DType:
        """What the node is computed in where sums matter: half precision is widened, and its result rounded once."""
        return DType.FLOAT32 if self.result.dtype in (DType.FLOAT16, DType.BFLOAT16) else self.result.dtype

    def widened(self, names: Sequence[str]) -> list[str]:
        """The operands in `wide_dtype`."""
        return [self.cast(name, self.wide_dtype) for name in names] if self._is_half else list(names)

    def narrowed(self, name: str) -> str:
        """A result in `wide_dtype` as the node's own."""
        return self.cast(name, self.result.dtype) if self._is_half else name

    @property
    def _is_half(self) -> bool:
        return self.wide_dtype is not self.result.dtype

    def cast(self, name: str, dtype: DType) -> str:
        return self.add("Cast", name, to=TENSOR_CODES[dtype])


rule = Registry[Rule]("an ONNX emission rule")


def find_rule(node: Node) -> Rule:
    """The rule for a node; raises OnnxError that names the node if there is none."""
    found = rule.find(node.operator)
    if found is None:
        raise OnnxError(f"{node.where()} has no ONNX form; add a rule under graphs/onnx/emitters")
    return found
