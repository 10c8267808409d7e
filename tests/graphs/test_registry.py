"""A registry keeps one function a name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.registry import Registry


def test_names_have_one_function() -> None:
    rule = Registry[Callable[[], int]]("a rule")

    @rule("add", "sub")
    def one() -> int:
        return 1

    assert rule.find("add") is rule.find("sub") is one
    assert rule.find("mul") is None
    assert rule.names() == ("add", "sub")
    with pytest.raises(GraphError, match="add already has a rule; remove one"):
        rule("mul", "add")(lambda: 2)
