"""Parses the text form of the IR; `text.py` prints it and shows the grammar."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import numpy as np

from coopdraw.graphs.errors import GraphError, WeightError
from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import Weight

NAME = r"[A-Za-z_][A-Za-z0-9_.$/-]*"
"""A graph, operator, attribute or output name that needs no quotes."""
SYMBOL = r"[A-Za-z0-9_.$/-]+"
"""A value name (after %) or a source path (after @) that needs no quotes."""

_STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_TOKEN = re.compile(
    rf"(?P<space>(?:[ \t\r\n]|\#[^\n]*)+)|(?P<string>{_STRING})|(?P<value>%(?:{SYMBOL}|{_STRING}))"
    rf"|(?P<source>@(?:{SYMBOL}|{_STRING}))|(?P<number>-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|-inf|-nan)"
    rf"|(?P<name>{NAME})|(?P<mark>[(){{}}\[\],:=])|(?P<end>\Z)",
    re.ASCII,
)
_WORDS: Mapping[str, bool | float | None] = {
    "true": True,
    "false": False,
    "none": None,
    "inf": float("inf"),
    "nan": float("nan"),
}
_MOST_DIGITS = 400  # float64 needs at most 309 before the point, and Python refuses to read integers of over 4300

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class DeclaredWeight(Weight):
    """A weight of which a text says only name and type; reading it raises WeightError."""

    type: TensorType

    def read(self) -> np.ndarray:
        raise WeightError("the text form of a module doesn't hold its weights; give them to parse_module")


def parse_module(text: str, weights: Mapping[str, Weight] | None = None) -> Module:
    """The module that `format_module` printed, verified.

    `weights` must hold every declared weight with its declared type; without it they are `DeclaredWeight`s.
    Raises GraphError, with line and column for what isn't well formed.
    """
    module = _Parser(text, weights).module()
    verify(module)
    return module


def array_from_elements(type: TensorType, elements: Sequence[str]) -> np.ndarray:
    """An array from the text of its elements; raises ValueError for one that isn't of the type."""
    array = np.empty(type.size, type.dtype.numpy)
    with np.errstate(over="ignore"):
        for index, text in enumerate(elements):
            array[index] = _element(type.dtype, text)
    return array.reshape(type.shape)


def _element(dtype: DType, text: str) -> float | int | bool:
    if dtype is DType.BOOL:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if dtype.is_floating:
        return float(text)
    limits = np.iinfo(dtype.numpy)
    if not limits.min <= int(text) <= limits.max:
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    offset: int


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, weights: Mapping[str, Weight] | None) -> None:
        self._text = text
        self._weights = weights
        self._tokens = self._tokenise()
        self._position = 0

    def module(self) -> Module:
        weights: dict[str, Weight] = {}
        while self._skip("weight"):
            token = self._take("string", "the quoted name of a weight")
            name = self._string(token, token.text)
            if name in weights:
                self._fail(token, f"weight {name} is declared twice; remove one")
            self._mark(":")
            weights[name] = self._weight(token, name, self._type())
        if not self._skip("entry"):
            self._unexpected("weight or entry")
        entry = self._graph()
        functions: dict[str, Graph] = {}
        while self._skip("function"):
            token = self._next
            function = self._graph()
            if function.name in functions:
                self._fail(token, f"function {function.name} is defined twice; rename one")
            functions[function.name] = function
        self._take("end", "function or the end of the text")
        return Module(entry, functions, weights)

    def _weight(self, token: _Token, name: str, type: TensorType) -> Weight:
        if self._weights is None:
            return DeclaredWeight(type)
        if name not in self._weights:
            self._fail(token, f"weight {name} isn't among the given weights; add it or fix the name")
        weight = self._weights[name]
        if weight.type != type:
            self._fail(token, f"weight {name} is {weight.type}, but is declared {type}; fix the declaration")
        return weight

    def _graph(self) -> Graph:
        name = self._name("the name of a graph")
        values: dict[str, Value] = {}
        inputs = self._list("(", ")", lambda: self._definition(values))
        self._mark("{")
        nodes: list[Node] = []
        while self._next.kind == "value":
            nodes.append(self._node(values))
        if not self._skip("return"):
            self._unexpected("a node or return")
        results = self._items(lambda: self._result(values))
        self._mark("}")
        output_names, outputs = zip(*results, strict=True)
        return Graph(name, tuple(inputs), tuple(nodes), outputs, output_names)

    def _definition(self, values: dict[str, Value]) -> Value:
        token = self._take("value", "a value such as %x")
        name = self._string(token, token.text[1:])
        if name in values:
            self._fail(token, f"%{name} is defined twice in this graph; rename one")
        self._mark(":")
        values[name] = Value(name, self._type())
        return values[name]

    def _use(self, values: Mapping[str, Value]) -> Value:
        token = self._take("value", "a value such as %x")
        name = self._string(token, token.text[1:])
        if name not in values:
            self._fail(token, f"%{name} isn't defined before; define it earlier in this graph or fix the name")
        return values[name]

    def _result(self, values: Mapping[str, Value]) -> tuple[str, Value]:
        name = self._name("the name of an output")
        self._mark("=")
        return name, self._use(values)

    def _node(self, values: dict[str, Value]) -> Node:
        known = dict(values) if False else values
        outputs = self._items(lambda: self._definition(known))
        self._mark("=")
        operator = self._name("the name of an operator")
        inputs = self._list("(", ")", lambda: self._use(values))
        attributes: dict[str, Attribute] = {}
        if self._next.text == "{":
            self._list("{", "}", lambda: self._attribute(attributes))
        source = ""
        if self._next.kind == "source":
            token = self._advance()
            source = self._string(token, token.text[1:])
        return Node(operator, tuple(inputs), tuple(outputs), attributes, source)
