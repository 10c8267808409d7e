"""`coopdraw report`: one file with everything in it, whatever the manifest's names are."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from runtime.tiny_bundle import ENCODER, hash_files

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.reporting.costs import measure_functions
from coopdraw.exporter.reporting.figures import size_text
from coopdraw.exporter.reporting.page import render_report
from coopdraw.exporter.reporting.timeline import draw_timeline
from coopdraw.exporter.reporting.verification import read_verification
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.memory_plan import plan_memory
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Function, Manifest, Model, Step, TensorSpec, WeightInfo
from coopdraw.runtime.strict_json import JsonValue

LATENT = TensorType(DType.FLOAT32, (1, 4))
VOID_TAGS = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "</title></pre><script>alert(1)</script><img src=x onerror='a'>\"&{{ 7 * 7 }}"


def sampling_module() -> Module:
    """Two steps of a model; each model call adds a weight and scales twice through a function of its own."""
    scale = GraphBuilder("unet.scale")
    x = scale.input("x", LATENT)
    scaled = scale.build([scale.add("mul", x, scale.constant(np.full((1, 4), 0.5, np.float32)))], ["y"])
    unet = GraphBuilder("unet")
    x = unet.input("x", LATENT)
    (once,) = unet.call(scaled, unet.add("add", x, unet.weight("unet.bias", LATENT)))
    model = unet.build(list(unet.call(scaled, once)), ["y"])
    entry = GraphBuilder("sampling")
    latent = entry.input("noise", LATENT)
    for _ in range(2):
        (latent,) = entry.call(model, latent)
    weights = {"unet.bias": ArrayWeight(np.arange(4, dtype=np.float32).reshape(1, 4))}
    return Module(entry.build([latent], ["image"]), {"unet.scale": scaled, "unet": model}, weights)


def sampling_manifest(folder: Path) -> Manifest:
    tensor = TensorSpec("noise", (1, 4), "float32", "starting noise")
    return Manifest(
        name="two steps",
        inputs=(tensor,),
        outputs=(replace(tensor, name="image", meaning="picture"),),
        graph="sampling.mindir",
        text_encoder=None,
        forms={},
        device={},
        steps=(
            Step(0, 999, 14.6, 1.6, "unet", partners=("helper",), transfers=("bridge",), adapters=("edges",)),
            Step(1, 499, 1.6, 0.0, "unet"),
        ),
        models={
            "unet": Model("unet", {"channels": [4]}),
            "helper": Model("unet", {}),
            "edges": Model("controlnet", {}),
        },
        functions=(Function("unet", 4, "a" * 64), Function("unet.scale", 2, "b" * 64), Function("gone", 1, "c" * 64)),
        weights={"unet.bias": WeightInfo("float32", (1, 4), "d" * 64)},
        passes=(
            {
                "name": "dead-code",
                "runs": 2,
                "rewrites": 3,
                "options": {"limit": 7},
                "notes": {"nodes_removed": 5, "flops_saved": 5000, "bytes_saved": -640},
                "misses": [{"graph": "unet", "node": "mul_3", "reason": "it has two users"}],
            },
        ),
        verification={
            "reference": "host loop",
            "checks": [
                {"what": "latent", "unit": "max error / range", "figure": 1e-6, "at_most": 1e-4},
                {"what": "image", "unit": "PSNR in dB", "figure": None, "at_least": 60.0},
            ],
            "error_budget": [
                {"step": 0, "transfer": "bridge", "sigma": 14.6, "round_trip": 0.125, "epsilon_error": 0.00856}
            ],
            "passed": False,
        },
        tools={"coopdraw": "0.1.0"},
        recipe={"pipeline": {"name": "two steps", "steps": 2}},
        files=hash_files(folder),
    )


def write(folder: Path, **changes: object) -> Path:
    """A bundle whose graph has the functions that its manifest lists, except one."""
    folder.mkdir()
    write_mindir(sampling_module(), folder / "sampling.mindir")
    manifest = replace(sampling_manifest(folder), **changes)  # type: ignore[arg-type]
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("report") / "two.bundle")


def report(bundle: Path, output: Path) -> Result:
    return CliRunner().invoke(app, ["report", str(bundle), "-o", str(output)], prog_name="coopdraw")


def page_of(bundle: Path, folder: Path) -> str:
    output = folder / "page.html"
    result = report(bundle, output)
    assert result.exit_code == 0, result.output
    return output.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Text, tags and attributes of a page, as a browser sees them; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, *start: str) -> list[str]:
        """The only row of a table that starts with these cells."""
        (found,) = (row for row in self.rows if tuple(row[: len(start)]) == start)
        return found


# What is on the page


def test_the_same_bundle_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(bundle, tmp_path / "elsewhere.bundle"))
    (tmp_path / "again").mkdir()
    first = page_of(bundle, tmp_path)
    assert first == page_of(bundle, tmp_path)
    assert first == page_of(elsewhere, tmp_path / "again")


def test_nothing_is_loaded_and_nothing_runs(bundle: Path, tmp_path: Path) -> None:
    text = page_of(bundle, tmp_path)
    assert not re.search(r"https?://|<script|url\(|@import|javascript:", text, re.IGNORECASE)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "a", "base", "form"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    policy = [value for _, name, value in page.attributes if name == "content"]
    assert any(value and "default-src 'none'" in value for value in policy)


def test_every_part_of_the_manifest_is_there(bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    page = Page(page_of(bundle, tmp_path))
    assert page.row("0", "999")[:5] == ["0", "999", "14.6", "1.6", "unet"]
    assert page.row("0", "999")[5:] == ["helper", "edges", "bridge", "text"]
    assert page.row("1", "499")[3:] == ["0", "unet", "", "", "", "text"]
    for function in manifest.functions:
        assert page.row(function.name, function.sha256)
    assert page.row("unet.bias") == ["unet.bias", "float32", "[1, 4]", "16 B", "d" * 64]
    for path, sha256 in manifest.files.items():
        assert page.row(path)[2] == sha256 == hashlib.sha256((bundle / path).read_bytes()).hexdigest()
    assert page.row("noise") == ["noise", "[1, 4]", "float32", "starting noise"]
    assert page.row("dead-code")[1:9] == ["2", "3", "5 k", "2.5 k", "-640 B", "-320 B", "nodes_removed 5", "limit 7"]
    assert '"steps": 2' in page.text
    assert "Made with coopdraw 0.1.0." in page.text
    for part in ("mul_3", "it has two users", "controlnet", '"channels": ['):
        assert part in page.text


def test_the_memory_plan(bundle: Path, tmp_path: Path) -> None:
    page = Page(page_of(bundle, tmp_path))
    plan = plan_memory(read_mindir(Bundle.open(bundle).graph_path))
    for name, part in plan.graphs.items():
        figures = [size_text(size) for size in (part.unshared_bytes, part.own_bytes, part.arena_bytes)]
        assert page.row(name, *figures)[1:4] == figures
    assert f"one run needs {size_text(plan.arena_bytes)}" in page.text


def test_verification_and_error_budget(bundle: Path, tmp_path: Path) -> None:
    page = Page(page_of(bundle, tmp_path))
    assert page.row("latent") == ["latent", "1e-06", "max error / range", "at most 0.0001", "ok"]
    assert page.row("image", "not finite")[3:] == ["at least 60", "missed"]
    assert page.row("0", "bridge") == ["0", "bridge", "14.6", "0.125", "0.00856"]
    assert page.row("reference") == ["reference", "host loop"]
    assert "failed" in page.text


def test_a_bundle_that_was_not_verified(tmp_path: Path) -> None:
    page = Page(page_of(write(tmp_path / "bare.bundle", verification={}), tmp_path))
    assert "not verified" in page.text
    assert "Error budget" not in page.text


def test_verification_in_another_form_is_shown_as_it_is(tmp_path: Path) -> None:
    odd: dict[str, JsonValue] = {
        "checks": [{"what": 3}],
        "error_budget": {"step": 1},
        "passed": "yes",
        "image_psnr": 91.5,
    }
    read = read_verification(odd)
    assert (read.passed, read.checks, read.budget, read.others) == (None, (), (), odd)
    page = Page(page_of(write(tmp_path / "odd.bundle", verification=odd), tmp_path))
    assert page.row("image_psnr") == ["image_psnr", "91.5"]
    assert page.row("checks") == ["checks", '[{"what": 3}]']


def test_a_text_encoder_and_models_with_loras(tmp_path: Path) -> None:
    loras: tuple[dict[str, JsonValue], ...] = ({"file": "style.safetensors", "scale": 0.5},)
    folder = write(
        tmp_path / "lora.bundle", models={"unet": Model("unet", {}, loras)}, steps=(Step(0, 9, 1.0, 0.0, "unet"),)
    )
    bundle = Bundle.open(folder)
    encoder = replace(ENCODER, graph="sampling.mindir")
    page = Page(
        render_report(replace(bundle, manifest=replace(bundle.manifest, text_encoder=encoder)), sampling_module())
    )
    assert page.row("unet", "unet", "")[3].strip() == "file style.safetensors, scale 0.5"
    assert page.row("text", "context", "context.text")
    assert "5 words" in page.text


# Costs


def test_costs_follow_calls_through_functions() -> None:
    costs = measure_functions(sampling_module())
    # 2 calls of unet; it calls unet.scale twice; every operator has 4 elements, so 4 FLOPs.
    assert {name: cost.calls for name, cost in costs.items()} == {"sampling": 1, "unet": 2, "unet.scale": 4}
    assert {name: cost.flops_per_call for name, cost in costs.items()} == {"sampling": 24, "unet": 12, "unet.scale": 4}
    assert {name: cost.loop_flops for name, cost in costs.items()} == {"sampling": 0, "unet": 8, "unet.scale": 16}
    assert {name: cost.weight_bytes for name, cost in costs.items()} == {"sampling": 0, "unet": 16, "unet.scale": 0}
    assert costs["unet.scale"].constant_bytes == 16


def test_the_functions_add_up_to_the_module() -> None:
    module = sampling_module()
    costs = measure_functions(module)
    assert sum(cost.loop_flops for cost in costs.values()) == measure(module).flops
    assert costs["sampling"].flops_per_call == measure(module).flops


def test_the_table_of_functions(bundle: Path, tmp_path: Path) -> None:
    page = Page(page_of(bundle, tmp_path))
    # In order of FLOPs: 16 of 24, then 8 of 24; the graph is read from its file.
    found = [row for row in page.rows if row and row[0] in ("unet", "unet.scale") and len(row) == 9]
    assert [row[0] for row in found] == ["unet.scale", "unet"]
    assert [row[2:6] for row in found] == [["4", "4", "16", "66.7%"], ["2", "12", "8", "33.3%"]]
    assert page.row("gone", "1") == ["gone", "1", "not in the graph"]


# The timeline


def test_bars_cover_exactly_the_steps() -> None:
    steps = tuple(
        Step(i, 999 - i, 10.0 - i, 9.0 - i, "a" if i < 7 else "b", partners=("p",) if i in (2, 3, 8) else ())
        for i in range(10)
    )
    timeline = draw_timeline(steps)
    width = (timeline.right - timeline.left) / 10
    # Positions are sums of a few floats.
    for lane, runs in zip(timeline.lanes, ([(0, 7)], [(7, 10)], [(2, 4), (8, 9)]), strict=True):
        found = [((bar.x - timeline.left) / width, (bar.x + bar.width - timeline.left) / width) for bar in lane.bars]
        assert np.allclose(found, runs, atol=1e-9)
    assert len(timeline.columns) == 10
    assert "t 997, sigma 8 to 7; a, p" in timeline.columns[2].title
    assert np.allclose(timeline.changes, [timeline.left + width * i for i in (2, 4, 7, 8, 9)], atol=1e-9)


@pytest.mark.parametrize(
    "sigmas",
    [[0.0, 0.0], [5.0, 5.0], [14.6, 1.0, 0.0], [1.7e308, 1.0, 5e-324, 0.0], [0.0, 3.0, 0.0], [3.0, 2.9]],
    ids=str,
)
def test_the_curve_stays_in_its_place(sigmas: list[float]) -> None:
    steps = tuple(Step(i, 0, sigmas[i], sigmas[i + 1], "unet") for i in range(len(sigmas) - 1))
    timeline = draw_timeline(steps)
    assert timeline.curve[0][0] == timeline.left
    assert all(timeline.left <= x <= timeline.right + 1e-9 for x, _ in timeline.curve)
    assert all(timeline.curve_top <= y <= timeline.curve_bottom for _, y in timeline.curve)
    assert 1 <= len(timeline.ticks) <= 7
    # Steps follow each other without a gap, so the curve has one point for each level; y grows downwards.
    heights = [y for _, y in timeline.curve]
    assert np.array_equal(np.argsort(heights, kind="stable"), np.argsort([-s for s in sigmas], kind="stable"))


def test_a_thousand_steps(tmp_path: Path) -> None:
    steps = tuple(Step(i, 999 - i, 20.0 - i / 50, 20.0 - (i + 1) / 50, "unet") for i in range(1000))
    text = page_of(write(tmp_path / "long.bundle", steps=steps), tmp_path)
    page = Page(text)
    for step in steps:
        assert page.row(str(step.step), str(step.t))
    assert text.count('class="column"') == 1000
    assert text.count('class="model"') == 1


# Names that nobody vouches for


def all_text(text: str) -> dict[str, object]:
    """Changes to the manifest that put a text in every place that takes any."""
    spec = TensorSpec(text, (1, 4), "float32", text)
    step = Step(0, 9, 1.0, 0.0, text, partners=(text,), transfers=(text,), adapters=(text,))
    check = {"what": text, "unit": text, "figure": 1.0, "at_most": 2.0}
    budget = {"step": 0, "transfer": text, "sigma": 1.0, "round_trip": 1.0, "epsilon_error": 1.0}
    return {
        "name": text,
        "inputs": (spec,),
        "outputs": (spec,),
        "steps": (step,),
        "models": {text: Model(text, {text: text}, ({text: text},))},
        "functions": (Function(text, 1, "a" * 64),),
        "weights": {text: WeightInfo("float32", (1,), "d" * 64)},
        "passes": ({"name": text, "options": {text: text}, "notes": text, "misses": [text], text: 1},),
        "verification": {"checks": [check], "error_budget": [budget], text: {text: text}},
        "tools": {text: text},
        "recipe": {text: [text]},
    }


def test_text_of_the_manifest_stays_text(tmp_path: Path) -> None:
    plain = Page(page_of(write(tmp_path / "plain.bundle", **all_text("plain")), tmp_path))
    hostile = Page(page_of(write(tmp_path / "hostile.bundle", **all_text(HOSTILE)), tmp_path))
    assert hostile.tags == plain.tags
    names = [(tag, name) for tag, name, _ in hostile.attributes]
    assert names == [(tag, name) for tag, name, _ in plain.attributes]
    # JSON escapes the quotes of the text in configurations and the recipe.
    escaped = hostile.text.count(HOSTILE.replace('"', '\\"'))
    # The lane's label is cut, its title isn't.
    assert hostile.text.count(HOSTILE) + escaped > 30


# Exit codes and files


def refused(bundle: Path, output: Path) -> str:
    result = report(bundle, output)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert "error: " in result.stderr.lower()
    return result.stderr


def test_what_is_no_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "not a folder" in refused(tmp_path / "nowhere", tmp_path / "page.html")
    (tmp_path / "empty").mkdir()
    assert "manifest.json" in refused(tmp_path / "empty", tmp_path / "page.html")
    damaged = Path(shutil.copytree(bundle, tmp_path / "damaged"))
    with (damaged / "sampling.mindir").open("ab") as file:
        file.write(b"more")
    assert "damaged" in refused(damaged, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_graph_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "graph.bundle")
    (folder / "sampling.mindir").write_bytes(b"no protobuf")
    (folder / "manifest.json").write_text(sampling_manifest(folder).to_json())
    refused(folder, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_outputs_that_cannot_be_written(bundle: Path, tmp_path: Path) -> None:
    assert "must end with .html" in refused(bundle, tmp_path / "page.pdf")
    assert "is not a folder" in refused(bundle, tmp_path / "missing" / "page.html")
    assert "inside the bundle" in refused(bundle, bundle / "page.html")
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in refused(bundle, tmp_path / "folder.html")
    assert CliRunner().invoke(app, ["report", str(bundle)]).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html"]
    Bundle.open(bundle)


def test_the_old_page_stays_when_writing_fails(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in refused(bundle, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"


# Everybody can read it


def test_tables_and_headings(bundle: Path, tmp_path: Path) -> None:
    text = page_of(bundle, tmp_path)
    page = Page(text)
    assert page.tags.count("h1") == 1
    assert ("html", "lang", "en") in page.attributes
    assert page.tags.count("th") == sum(name == "scope" for _, name, _ in page.attributes)
    for heading in [value for _, name, value in page.attributes if name == "aria-labelledby"]:
        assert heading in [value for _, name, value in page.attributes if name == "id"]
    assert re.search(r'<svg [^>]*role="img" aria-label="', text)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(bundle: Path, tmp_path: Path, theme: int) -> None:
    colours = dict(
        re.findall(r"--(\w+): (#\w{6});", re.findall(r":root \{(.*?)\}", page_of(bundle, tmp_path), re.S)[theme])
    )
    for background in ("page", "panel"):
        # WCAG 2.2 AA: 4.5 for text, 3 for graphics.
        assert all(contrast(colours[name], colours[background]) >= 4.5 for name in ("text", "quiet", "good", "bad"))
    graphics = ("model", "partner", "adapter", "transfer", "curve")
    assert all(contrast(colours[name], colours["page"]) >= 3.0 for name in graphics)
