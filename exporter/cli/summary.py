"""A bundle in short, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coopdraw.exporter.reporting.device import DeviceReport, read_device
from coopdraw.exporter.reporting.figures import size_text, stored_bytes
from coopdraw.exporter.reporting.plan import phases
from coopdraw.exporter.reporting.plan_text import draw_plan
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Manifest, Step, TensorSpec
from coopdraw.runtime.strict_json import JsonValue

LOG_WIDTH = 120


def print_summary(bundle: Bundle) -> None:
    """Prints inputs, outputs, step plan, functions, sizes and checks of a bundle on stdout."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    manifest = bundle.manifest
    console.print(f"{manifest.name}: {len(manifest.steps)} steps, batch {manifest.batch}")
    tensors = [("input", spec) for spec in manifest.inputs] + [("output", spec) for spec in manifest.outputs]
    _print_table(console, "Tensors", ["", "name", "dtype", "shape", "meaning"], (_tensor_row(*row) for row in tensors))
    _print_plan(console, manifest.steps)
    functions = ((function.name, str(function.nodes), function.sha256[:12]) for function in manifest.functions)
    _print_table(console, "Functions", ["name", "nodes", "sha256"], functions)
    sizes = ((path, size_text((bundle.folder / path).stat().st_size)) for path in sorted(manifest.files))
    _print_table(console, "Files", ["path", "size"], sizes)
    console.print(_weights_line(manifest))
    console.print(f"backends: {', '.join(('mindspore', *sorted(manifest.forms)))}")
    if manifest.text_encoder is not None:
        encoder = manifest.text_encoder
        console.print(f"text encoder: {len(encoder.words) - 1} words, captions of at most {encoder.context_length}")
    _print_device(console, read_device(manifest.device))
    _print_table(console, "Passes", ["name", ""], (_pass_row(report) for report in manifest.passes))
    verification = ((key, json.dumps(value)) for key, value in sorted(manifest.verification.items()))
    _print_table(console, "Verification", ["", ""], verification)
    console.print()
    console.print(f"tools: {', '.join(f'{name} {version}' for name, version in sorted(manifest.tools.items()))}")


def _print_table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if table.row_count:
        console.print()
        console.print(table)


def _tensor_row(direction: str, spec: TensorSpec) -> tuple[str, ...]:
    return direction, spec.name, spec.dtype, str(list(spec.shape)), spec.meaning


def _print_plan(console: Console, steps: Sequence[Step]) -> None:
    """The figures of every phase, then a drawing of who acts when."""
    columns = ["steps", "t", "sigma", "model"]
    if any(step.partners or step.adapters or step.transfers for step in steps):
        columns.append("with")
    if len({step.branches for step in steps}) > 1:
        columns.append("branches")
    rows = ([row[column] for column in columns] for row in map(_phase_row, phases(steps)))
    _print_table(console, "Step plan", columns, rows)
    console.print()
    for line in draw_plan(steps, console.width, console.options.ascii_only):
        console.print(Text(line), no_wrap=True, overflow="crop")


def _print_device(console: Console, device: DeviceReport | None) -> None:
    """Who computes what on the device, and what it can't run well."""
    if device is None:
        return
    rows = ((str(each.count), each.operator, each.computed_by, each.reason) for each in device.kernels)
    title = f"On {device.soc}, networks in {device.precision}; our kernels are {device.status}"
    _print_table(console, title, ["nodes", "operator", "computed by", "reason"], rows)
    findings = ((severity, text, str(places)) for severity, text, places in device.findings)
    _print_table(console, f"What {device.soc} can't run, or runs badly", ["", "", "places"], findings)


def _phase_row(phase: Sequence[Step]) -> dict[str, str]:
    first, last = phase[0], phase[-1]
    return {
        "steps": f"{first.step} to {last.step} ({len(phase)})",
        "t": f"{first.t} to {last.t}",
        "sigma": f"{first.sigma:.4f} to {last.sigma_next:.4f}",
        "model": first.model,
        "with": ", ".join(dict.fromkeys((*first.partners, *first.adapters, *first.transfers))),
        "branches": ", ".join(first.branches),
    }


def _pass_row(report: Mapping[str, JsonValue]) -> tuple[str, str]:
    """The pass's name, and whatever else it reports that isn't empty."""
    details = [f"{key}: {_plain(value)}" for key, value in sorted(report.items()) if key != "name" and value]
    return str(report.get("name", "?")), "; ".join(details)


def _plain(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in sorted(value.items()))
    return json.dumps(value)


def _weights_line(manifest: Manifest) -> str:
    unique = {weight.sha256 for weight in manifest.weights.values()}
    stored = stored_bytes(manifest.weights.values())
    return f"\nweights: {len(manifest.weights)}, {len(unique)} different, {size_text(stored)}"
