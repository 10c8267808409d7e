"""What a recipe's loop costs before and after the passes: from its graphs, without a bundle and without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.compiler import run_passes
from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.graphs.ir import Module
from coopdraw.graphs.memory_plan import MemoryPlan, plan_memory
from coopdraw.graphs.passes.costs import Cost, measure
from coopdraw.graphs.passes.fusions.counting import fusion_counts
from coopdraw.graphs.passes.manager import PassRecord


@dataclass(frozen=True)
class LoopCost:
    """The cost of one run of the whole loop as traced and as compiled, with the passes between and the fused nodes.

    The memory plans are of all values that are neither weights nor constants, see `graphs/memory_plan.py`.
    """

    steps: int
    traced: Cost
    compiled: Cost
    traced_memory: MemoryPlan
    compiled_memory: MemoryPlan
    passes: tuple[PassRecord, ...]
    fusions: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "steps": self.steps,
            "traced": asdict(self.traced),
            "compiled": asdict(self.compiled),
            "traced_memory": self.traced_memory.notes(),
            "compiled_memory": self.compiled_memory.notes(),
            "passes": [record.as_manifest() for record in self.passes],
            "fusions": dict(self.fusions),
        }


def cost_of(recipe: Recipe, progress: Progress) -> LoopCost:
    """Traces the networks and runs the passes; raises as `compile_pipeline` does, a missed fusion included."""
    with progress.stage("open checkpoints and build Cells"):
        pipeline = load_pipeline(recipe, CheckpointSource(recipe))
    progress.expect(len(pipeline.sampling_cells()) + 1)
    traced = trace_program(recipe, pipeline, progress)
    program, records = run_passes(recipe, traced, None, progress)
    return _cost(recipe.pipeline.steps, traced, program, records)


def _cost(steps: int, traced: Module, program: Module, records: Sequence[PassRecord]) -> LoopCost:
    return LoopCost(
        steps=steps,
        traced=measure(traced),
        compiled=measure(program),
        traced_memory=plan_memory(traced),
        compiled_memory=plan_memory(program),
        passes=tuple(records),
        fusions=fusion_counts(program),
    )
