"""What a manifest says about the device that its bundle is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coopdraw.runtime.strict_json import JsonValue


@dataclass(frozen=True)
class ChosenKernels:
    """Nodes of one operator that the same operator of the device, or kernel of ours, computes for the same reason."""

    operator: str
    computed_by: str
    count: int
    reason: str


@dataclass(frozen=True)
class DeviceReport:
    """The SoC, the precision of its networks, what is said of our kernels, who computes what, and the lint's findings
    (severity, reason and fix, number of places)."""

    soc: str
    precision: str
    status: str
    kernels: tuple[ChosenKernels, ...]
    findings: tuple[tuple[str, str, int], ...]


def read_device(device: Mapping[str, JsonValue]) -> DeviceReport | None:
    """None for a bundle that is for the CPU only, or that says it in another form than this version's."""
    kernels, lint = device.get("kernels"), device.get("lint")
    if not isinstance(kernels, dict) or not isinstance(lint, list):
        return None
    choices = kernels.get("choices")
    return DeviceReport(
        soc=str(device.get("soc")),
        precision=str(device.get("precision")),
        status=str(kernels.get("status")),
        kernels=tuple(_chosen(item) for item in _objects(choices)),
        findings=tuple(_finding(item) for item in _objects(lint)),
    )


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _chosen(choice: Mapping[str, JsonValue]) -> ChosenKernels:
    count = choice.get("count")
    name = choice.get("type") or "plain operators"
    by = f"{name} (ours)" if choice.get("kind") == "own" else str(name)
    return ChosenKernels(
        str(choice.get("operator")), by, count if isinstance(count, int) else 0, str(choice.get("reason"))
    )


def _finding(finding: Mapping[str, JsonValue]) -> tuple[str, str, int]:
    nodes = finding.get("nodes")
    text = f"{finding.get('reason')}; {finding.get('fix')}"
    return str(finding.get("severity")), text, len(nodes) if isinstance(nodes, list) else 0
