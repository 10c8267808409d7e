"""Functions by the names that they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from coopdraw.graphs.errors import GraphError

Function = TypeVar("Function")


class Registry(Generic[Function]):
    """A decorator, `@registry("name", ...)`, that keeps what it decorates; a name has one function.

    `kind` is what error messages call the functions, with its article.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._functions: dict[str, Function] = {}

    def __call__(self, *names: str) -> Callable[[Function], Function]:
        """Registers a function for names; raises GraphError for one that has another already."""

        def add(function: Function) -> Function:
            for name in names:
                if name in self._functions:
                    raise GraphError(f"{name} already has {self._kind}; remove one")
                self._functions[name] = function
            return function

        return add

    def find(self, name: str) -> Function | None:
        return self._functions.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._functions))
