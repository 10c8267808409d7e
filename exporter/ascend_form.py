"""What a bundle for an Atlas host has beside the CPU graph: graphs to convert, operators to build, scripts for both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from coopdraw.exporter.bundle_forms import Written
from coopdraw.exporter.deploy.facts import DeployFacts
from coopdraw.exporter.deploy.kit import write_deploy_kit
from coopdraw.exporter.half_precision import known_kept_names
from coopdraw.exporter.recipe import Recipe
from coopdraw.graphs.ir import Attribute, Module, Node
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.onnx.form import CustomOperator, lite_form
from coopdraw.graphs.onnx.writer import StoredWeights, write_onnx
from coopdraw.graphs.ops.fused.attention import attention_extents
from coopdraw.graphs.passes.half_precision import HalfPrecision
from coopdraw.graphs.verifier import verify
from coopdraw.kernels.ascend.built_in import BUILT_IN, scales_as_flash_attention
from coopdraw.kernels.ascend.catalogue import ASCEND_KERNELS, BY_OPERATOR, WORDS
from coopdraw.kernels.ascend.choice import Choice, Wish, choices, has_choice, summary
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.lint import Finding, lint
from coopdraw.kernels.ascend.lint_rules import GEGLU_PAGE
from coopdraw.kernels.ascend.project import write_project
from coopdraw.kernels.simulator.soc import SOCS, Soc
from coopdraw.runtime.manifest import Form, Manifest

ASCEND = "ascend"
_LAYOUT, _CANN = Layout.CANN8, 8
"""The older layout of operator projects, which newer toolkits build as well."""


@dataclass(frozen=True)
class AscendForm:
    """What was written: the form for the manifest, who computes which node, and what the SoC can't run well."""

    form: Form
    soc: str
    precision: str
    choices: tuple[Choice, ...]
    device_attentions: tuple[Node, ...]
    findings: tuple[Finding, ...]

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """Device types of the kernels of ours that were chosen."""
        return tuple(sorted({choice.type_name for choice in self.choices if choice.kind == "own"}))

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "soc": self.soc,
            "precision": self.precision,
            "kernels": {"choices": summary(self.choices), "status": WORDS},
            "lint": _grouped(self.findings),
        }


def write_ascend(folder: Path, recipe: Recipe, program: Written, text_encoder: Written | None) -> AscendForm:
    """Writes `ascend/` and, for kernels of ours that are chosen, `kernels/ascend/` into the bundle `folder`.

    The networks are in the recipe's precision for the device, float16 unless it says otherwise; `ascend/` has weights
    of its own. Raises MindirError or OnnxError for a node that has no form, RecipeError for names in
    `target.keep_float32` that the program doesn't have.
    """
    soc, wishes = SOCS[recipe.target.name], cast("Mapping[str, Wish]", recipe.target.operators)
    precision = recipe.target.precision or "float16"
    module = program.module if precision == "float32" else _in_half(program.module, recipe)
    target = folder / ASCEND
    target.mkdir()
    parts = {program.stem: module} | ({} if text_encoder is None else {text_encoder.stem: text_encoder.module})
    chosen: tuple[Choice, ...] = ()
    attentions: tuple[Node, ...] = ()
    findings: tuple[Finding, ...] = ()
    for stem, part in parts.items():
        placements = write_mindir(part, target / f"{stem}.mindir")
        who = choices(part, soc, wishes)
        nodes = [node for graph in part.graphs() for node in graph.nodes if has_choice(node)]
        ours = {node for node, choice in zip(nodes, who, strict=True) if choice.kind == "own"}
        form = lite_form(partial(_device_operator, ours, soc))
        write_onnx(part, target / f"{stem}.onnx", form, StoredWeights(target, placements))
        chosen += who
        attentions += tuple(node for node in nodes if node.operator == "attention" and node not in ours)
        findings += lint(part, soc)
    names = [f"{ASCEND}/{stem}.mindir" for stem in parts]
    form_files = Form(names[0], names[1] if len(names) > 1 else None)
    written = AscendForm(form_files, soc.name, precision, chosen, attentions, findings)
    used = [kernel for kernel in ASCEND_KERNELS if kernel.type_name in written.custom_operators]
    if used:
        write_project(folder / "kernels" / ASCEND, used, _LAYOUT, [soc.name])
    return written


def write_kit(folder: Path, manifest: Manifest, written: AscendForm) -> None:
    """Writes `deploy/` into the bundle `folder`."""
    facts = DeployFacts(
        name=manifest.name,
        soc=written.soc,
        precision=written.precision,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        text_encoder=manifest.text_encoder,
        custom_operators=written.custom_operators,
        fuse_attention=all(_has_usual_scale(node) for node in written.device_attentions),
        mindspore=version("mindspore"),
        cann=_CANN,
        fuse_geglu=not any(finding.page == GEGLU_PAGE for finding in written.findings),
    )
    write_deploy_kit(folder / "deploy", facts)


def _in_half(module: Module, recipe: Recipe) -> Module:
    converted = HalfPrecision(known_kept_names(module, recipe), "float16").run(module).module
    verify(converted)
    return converted


def _device_operator(ours: Set[Node], soc: Soc, node: Node) -> CustomOperator | None:
    """The node as the operator that was chosen for it sees it; None where plain operators are for it.

    Where the device's GroupNormSilu was chosen, sums before it and modulation after it are plain operators.
    """
    if node in ours:
        return _own(node)
    if node.operator not in ("group_norm", "fused_group_norm") or BUILT_IN[node.operator].refusal(node, soc):
        return None
    if node.attributes.get("add", "none") != "none" or node.attributes.get("modulated"):
        return None
    attributes: dict[str, Attribute] = {
        "num_groups": node.attributes["groups"],
        "eps": node.attributes["epsilon"],
        "activate_silu": node.attributes.get("activation") == "silu",
    }
    # mindspore-lite:tools/converter/parser/onnx/onnx_groupnormsilu_parser.cc reads a node of this type.
    return CustomOperator("GroupNormSilu", {"x": 0, "gamma": 1, "beta": 2}, {"y": 0}, attributes, parsed=True)


def _own(node: Node) -> CustomOperator:
    """The node as a kernel of ours sees it."""
    kernel = BY_OPERATOR[node.operator]
    call = kernel.call(node)
    return CustomOperator(
        kernel.type_name,
        {parameter.name: index for parameter, index in zip(kernel.inputs, call.inputs, strict=True)},
        {parameter.name: index for parameter, index in zip(kernel.outputs, call.outputs, strict=True)},
        {attribute.name: value for attribute, value in zip(kernel.attributes, call.attributes, strict=True)},
        frozenset(parameter.name for parameter in kernel.inputs if parameter.optional),
    )


def _grouped(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings that differ in their place only are one, with every place."""
    groups: dict[Finding, list[str]] = {}
    for finding in findings:
        reason = re.sub(r"%[\w.]+", "an operand", finding.reason)
        key = replace(finding, node="", function="", cell="", reason=reason)
        groups.setdefault(key, []).append(f"{finding.function}: {finding.node}")
    return [
        {"severity": key.severity, "reason": key.reason, "fix": key.fix, "page": key.page, "nodes": nodes}
        for key, nodes in groups.items()
    ]


def _has_usual_scale(attention: Node) -> bool:
    """Whether it scales by 1 / sqrt(head width), which MindSpore Lite's own attention takes for granted."""
    extents = attention_extents([value.type for value in attention.inputs], attention.attributes)
    return scales_as_flash_attention(extents, float(str(attention.attributes["scale"])))
