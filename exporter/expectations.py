"""Holds a compiled program to the fusions that its recipe expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.fusions.counting import FUSIONS, fusion_counts, fusion_misses
from coopdraw.graphs.passes.manager import PassRecord


def check_fusions(expected: Mapping[str, int], program: Module, records: Sequence[PassRecord]) -> None:
    """Raises CheckError if there are fewer fused nodes than expected; it lists every miss with its Cell and reason.

    Nothing is expected of passes that were left out.
    """
    found, ran = fusion_counts(program), {record.name for record in records}
    short = {
        name: count
        for name, count in expected.items()
        if found.get(name, 0) < count and ran.issuperset(FUSIONS[name].passes)
    }
    if short:
        told = "; ".join(_describe(name, count, found.get(name, 0), records) for name, count in short.items())
        raise CheckError(f"{told}; mend the model or lower the number in [expect.fusions]")


def _describe(name: str, wanted: int, found: int, records: Sequence[PassRecord]) -> str:
    misses = tuple(_lines(name, records))
    told = "".join(f"\n  {miss}" for miss in misses) or " and no pass saw another place for it"
    return f"[expect.fusions] has {name} = {wanted}, but the graph has {found}:{told}"


def _lines(name: str, records: Sequence[PassRecord]) -> Iterator[str]:
    for miss in fusion_misses(name, records):
        yield f"{miss.graph}: {miss.node}: {miss.reason}"
