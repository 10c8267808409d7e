"""Faults that tests seed into the text of a kernel, one a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Text that a run replaces: a statement, or an expression. `before` is text that ends where the search begins.

    `kinds` are the rules of the simulator that it may break; without any, the result is wrong.
    """

    name: str
    old: str
    new: str
    kinds: tuple[str, ...]
    before: str = ""

    def place(self, source: str) -> int:
        """Where the text is in the kernel."""
        return source.index(self.old, source.index(self.before) + len(self.before))

    def seeded(self, number: int, otherwise: str) -> str:
        """The replacement in the run of that number, and `otherwise` in all others."""
        if self.old.endswith(";"):
            return f"if (seeded_fault == {number}) {{ {self.new} }} else {{ {otherwise} }}"
        return f"(seeded_fault == {number} ? ({self.new}) : ({otherwise}))"
