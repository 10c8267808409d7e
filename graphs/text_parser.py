"""Parses the text form of the IR; `text.py` prints it and shows the grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.text_arrays import array_from_base64, array_from_elements
from coopdraw.graphs.text_tokens import Token, Tokens
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import Weight

_NUMBER_NAMES = ("inf", "nan")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "none": None}
_MOST_DIGITS = 400  # no float64 needs more, and Python refuses to read integers of over 4300


@dataclass(frozen=True)
class DeclaredWeight(Weight):
    """A weight of which a text says only name and type; reading it raises WeightError."""

    type: TensorType

    def read(self) -> np.ndarray:
        raise WeightError("the text form of a module doesn't hold its weights; give them to parse_module")


def parse_module(text: str, weights: Mapping[str, Weight] | None = None) -> Module:
    """The module that `format_module` printed, verified.

    `weights` must hold every declared weight with its declared type; without it they are `DeclaredWeight`s.
    Raises GraphError: with line and column for text that isn't well formed, else as `verify` does.
    """
    module = _Parser(text, weights).module()
    verify(module)
    return module


class _Parser:
    """Recursive descent: a method for each thing of the grammar."""

    def __init__(self, text: str, weights: Mapping[str, Weight] | None) -> None:
        self._tokens = Tokens(text)
        self._given_weights = weights

    def module(self) -> Module:
        weights: dict[str, Weight] = {}
        while self._tokens.skip("weight"):
            self._weight(weights)
        if not self._tokens.skip("entry"):
            self._tokens.unexpected("weight or entry")
        entry = self._graph()
        functions: dict[str, Graph] = {}
        while self._tokens.skip("function"):
            token = self._tokens.next
            function = self._graph()
            if function.name in functions:
                self._tokens.fail(token, f"function {function.name} is defined twice; rename one")
            functions[function.name] = function
        self._tokens.take("end", "function or the end of the text")
        return Module(entry, functions, weights)

    def _weight(self, weights: dict[str, Weight]) -> None:
        token = self._tokens.take("string", "the quoted name of a weight")
        name = self._tokens.string(token)
        self._tokens.mark(":")
        type = self._type()
        if name in weights:
            self._tokens.fail(token, f"weight {name} is declared twice; remove one")
        if self._given_weights is None:
            weights[name] = DeclaredWeight(type)
        elif name not in self._given_weights:
            self._tokens.fail(token, f"weight {name} isn't among the given weights; add it or fix the name")
        elif self._given_weights[name].type != type:
            given = self._given_weights[name].type
            self._tokens.fail(token, f"weight {name} is {given}, but is declared {type}; fix the declaration")
        else:
            weights[name] = self._given_weights[name]

    def _graph(self) -> Graph:
        name = self._tokens.name("the name of a graph")
        values: dict[str, Value] = {}
        inputs = [self._define(values, *item) for item in self._tokens.listed("(", ")", self._declaration)]
        self._tokens.mark("{")
        nodes: list[Node] = []
        while self._tokens.next.kind == "value":
            nodes.append(self._node(values))
        if not self._tokens.skip("return"):
            self._tokens.unexpected("a node or return")
        results = self._tokens.items(lambda: self._result(values))
        self._tokens.mark("}")
        names, outputs = tuple(name for name, _ in results), tuple(value for _, value in results)
        return Graph(name, tuple(inputs), tuple(nodes), outputs, names)

    def _node(self, values: dict[str, Value]) -> Node:
        declarations = self._tokens.items(self._declaration)
        self._tokens.mark("=")
        operator = self._tokens.name("the name of an operator")
        inputs = self._tokens.listed("(", ")", lambda: self._use(values))
        attributes: dict[str, Attribute] = {}
        if self._tokens.next.text == "{":
            self._tokens.listed("{", "}", lambda: self._attribute(attributes))
        source = self._tokens.string(self._tokens.advance()) if self._tokens.next.kind == "source" else ""
        outputs = [self._define(values, *item) for item in declarations]
        return Node(operator, tuple(inputs), tuple(outputs), attributes, source)

    def _declaration(self) -> tuple[Token, TensorType]:
        token = self._tokens.take("value", "a value such as %x")
        self._tokens.mark(":")
        return token, self._type()

    def _define(self, values: dict[str, Value], token: Token, type: TensorType) -> Value:
        name = self._tokens.string(token)
        if name in values:
            self._tokens.fail(token, f"%{name} is defined twice in this graph; rename one")
        values[name] = Value(name, type)
        return values[name]

    def _use(self, values: Mapping[str, Value]) -> Value:
        token = self._tokens.take("value", "a value such as %x")
        name = self._tokens.string(token)
        if name not in values:
            self._tokens.fail(token, f"%{name} isn't defined before; define it earlier in this graph or fix the name")
        return values[name]

    def _result(self, values: Mapping[str, Value]) -> tuple[str, Value]:
        name = self._tokens.name("the name of an output")
        self._tokens.mark("=")
        return name, self._use(values)

    def _attribute(self, attributes: dict[str, Attribute]) -> None:
        token = self._tokens.next
        key = self._tokens.name("the name of an attribute")
        if key in attributes:
            self._tokens.fail(token, f"attribute {key} is given twice; remove one")
        self._tokens.mark("=")
        attributes[key] = self._attribute_value()

    def _attribute_value(self) -> Attribute:
        token = self._tokens.next
        if token.kind == "string":
            return self._tokens.string(self._tokens.advance())
        if token.text == "[":
            return self._tuple()
        if token.text in _WORDS:
            return _WORDS[self._tokens.advance().text]
        if token.kind == "name" and token.text not in _NUMBER_NAMES:
            return self._array()
        return self._number()

    def _tuple(self) -> tuple[int, ...] | tuple[float, ...]:
        token = self._tokens.next
        numbers = self._tokens.listed("[", "]", self._number)
        if any(isinstance(number, float) for number in numbers):
            if any(isinstance(number, int) for number in numbers):
                self._tokens.fail(token, "a list mixes integers and floats; write a point in all or in none")
            return tuple(float(number) for number in numbers)
        return tuple(int(number) for number in numbers)

    def _number(self) -> int | float:
        kind = "name" if self._tokens.next.text in _NUMBER_NAMES else "number"
        token = self._tokens.take(kind, "a number")
        if len(token.text) > _MOST_DIGITS:
            self._tokens.fail(token, f"a number has more than {_MOST_DIGITS} digits; shorten it")
        return int(token.text) if re.fullmatch("-?[0-9]+", token.text) else float(token.text)

    def _type(self) -> TensorType:
        token = self._tokens.take("name", "an element type")
        if token.text not in tuple(DType):
            self._tokens.fail(token, f"{token.text} is not an element type; use one of {', '.join(DType)}")
        return TensorType(DType(token.text), tuple(self._tokens.listed("[", "]", self._extent)))

    def _extent(self) -> int:
        token = self._tokens.next
        extent = self._number()
        if not isinstance(extent, int) or extent < 1:
            self._tokens.fail(token, f"extent {token.text} isn't static; write a positive integer")
        return extent

    def _array(self) -> np.ndarray:
        token = self._tokens.next
        type = self._type()
        self._tokens.mark("(")
        try:
            if self._tokens.skip("base64"):
                array = array_from_base64(type, self._tokens.string(self._tokens.take("string", "the quoted bytes")))
            elif self._tokens.skip("elided"):
                self._tokens.fail(token, "this constant is elided; print the module again without elide")
            else:
                array = array_from_elements(type, self._tokens.items(self._element))
        except ValueError as error:
            self._tokens.fail(token, f"{error}; fix the elements")
        self._tokens.mark(")")
        return array

    def _element(self) -> str:
        if self._tokens.next.text in ("true", "false"):
            return self._tokens.advance().text
        token = self._tokens.next
        self._number()
        return token.text
