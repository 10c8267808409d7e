"""The report of a bundle: one HTML file that needs no network and no scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopdraw.exporter.reporting.costs import FunctionCost, measure_functions
from coopdraw.exporter.reporting.device import read_device
from coopdraw.exporter.reporting.figures import count_text, signed_text, size_text, stored_bytes, weight_bytes
from coopdraw.exporter.reporting.origins import measure_origins
from coopdraw.exporter.reporting.timeline import draw_timeline
from coopdraw.exporter.reporting.verification import read_verification
from coopdraw.graphs.ir import Module
from coopdraw.graphs.memory_plan import plan_memory
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.strict_json import JsonValue

_TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True)
class FunctionRow:
    """A function of the graph or of the manifest; one that only the manifest has costs nothing that is known."""

    name: str
    nodes: int
    sha256: str
    cost: FunctionCost | None

    @property
    def stored(self) -> int:
        """Bytes of what its nodes read: weights and constants."""
        return 0 if self.cost is None else self.cost.weight_bytes + self.cost.constant_bytes


def render_report(bundle: Bundle, module: Module) -> str:
    """The page for a bundle and its sampling graph. The same bundle always gives the same text."""
    import jinja2

    manifest = bundle.manifest
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        size=size_text,
        count=count_text,
        signed=signed_text,
        source=lambda node: node.where(),
        pixels=lambda length: f"{length:.1f}",
        percent=lambda share: f"{100 * share:.1f}%",
        json=_json,
        plain=_plain,
    )
    functions = _functions(bundle, module)
    page: str = environment.get_template("report.html.j2").render(
        manifest=manifest,
        timeline=draw_timeline(manifest.steps),
        functions=functions,
        origins=measure_origins(module),
        flops=sum(row.cost.loop_flops for row in functions if row.cost is not None),
        function_bytes=sum(row.stored for row in functions),
        stored=stored_bytes(manifest.weights.values()),
        weight_bytes=weight_bytes,
        count=count_text,
        size=size_text,
        passes=[_pass(report, max(1, len(manifest.steps))) for report in manifest.passes],
        memory=plan_memory(module),
        device=read_device(manifest.device),
        verification=read_verification(manifest.verification),
        files=[(path, (bundle.folder / path).stat().st_size, manifest.files[path]) for path in sorted(manifest.files)],
    )
    return page


def _functions(bundle: Bundle, module: Module) -> list[FunctionRow]:
    """The entry and all functions, those with the most FLOPs in the loop first."""
    costs = measure_functions(module)
    entry = FunctionRow(module.entry.name, len(module.entry.nodes), "", costs[module.entry.name])
    rows = [FunctionRow(f.name, f.nodes, f.sha256, costs.get(f.name)) for f in bundle.manifest.functions]
    rows.sort(key=lambda row: (-row.cost.loop_flops if row.cost else 0, row.name))
    return [*rows, entry]


def _pass(report: Mapping[str, JsonValue], steps: int) -> dict[str, Any]:
    """What a pass reports, in columns; `others` is what has none. What it saves of the loop is shared out to steps."""
    known = {name: report.get(name) for name in ("name", "runs", "rewrites", "options")}
    misses, notes = report.get("misses"), report.get("notes")
    saved = {name: _number(notes, f"{name}_saved") for name in ("flops", "bytes")} if isinstance(notes, dict) else {}
    return {
        **known,
        "saved": {name: (number, number / steps) for name, number in saved.items() if number},
        "notes": {name: value for name, value in notes.items() if name not in ("flops_saved", "bytes_saved")}
        if isinstance(notes, dict)
        else notes,
        "misses": misses if isinstance(misses, list) else [],
        "others": {name: value for name, value in report.items() if name not in (*known, "misses", "notes")},
    }


def _number(notes: Mapping[str, JsonValue], name: str) -> float:
    value = notes.get(name, 0)
    return value if isinstance(value, (int, float)) else 0


def _json(value: JsonValue | Mapping[str, JsonValue]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _plain(value: JsonValue) -> str:
    """A value within a sentence: members of an object with their names, text as it is."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in sorted(value.items()))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
