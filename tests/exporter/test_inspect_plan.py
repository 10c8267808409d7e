"""The drawing of the step plan in `coopdraw inspect`: who acts when, at any width."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from runtime.tiny_bundle import tiny_manifest

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.reporting.plan import marked_steps, phases, place_labels, plan_lanes
from coopdraw.exporter.reporting.plan_text import draw_plan
from coopdraw.runtime.manifest import Step

TRANSFER = "bridge.partner_to_main"


def coop_plan(count: int) -> tuple[Step, ...]:
    """Structure, then texture at the half; a partner with a transfer and an adapter in the first 60 %."""
    return tuple(
        Step(
            step=i,
            t=999 - 999 * i // count,
            sigma=14.6146 * (1 - i / count),
            sigma_next=14.6146 * (1 - (i + 1) / count),
            model="structure" if 2 * i < count else "texture",
            partners=("partner",) if 5 * i < 3 * count else (),
            adapters=("edges",) if 5 * i < 3 * count else (),
            transfers=(TRANSFER,) if 5 * i < 3 * count else (),
        )
        for i in range(count)
    )


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("count", [20, 50, 1000])
def test_every_actor_has_a_line_that_fits(count: int, width: int) -> None:
    lines = draw_plan(coop_plan(count), width)
    assert all(cell_len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines[:3]] == ["step", "t", "sigma"]
    ends = [line.split() for line in lines[:3]]
    assert [end[1] for end in ends] == ["0", "999", "14.6"]
    last = coop_plan(count)[-1]
    assert [end[-1] for end in ends] == [str(last.step), str(last.t), f"{last.sigma:.3g}"]
    assert [line.split()[1] for line in lines[3:8]] == ["model", "model", "partner", "adapter", "transfer"]
    shares = [line.count("█") / (line.count("█") + line.count("▒") + line.count("·")) for line in lines[3:8]]
    # One column that is partly filled is at most a tenth of the narrowest drawing.
    assert shares == pytest.approx([0.5, 0.5, 0.6, 0.6, 0.6], abs=0.1)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_changes_are_in_the_header(width: int) -> None:
    (step, t, sigma, *lanes) = draw_plan(coop_plan(50), width)
    assert step.split()[1:] == ["0", "25", "30", "49"]
    if width == 120:  # narrower, columns of two steps leave no place for two t or sigma
        assert t.split()[1:] == ["999", "500", "400", "20"]
        assert sigma.split()[1:] == ["14.6", "7.31", "5.85", "0.292"]
    texture = next(line for line in lanes if line.startswith("texture"))
    column = step.index("25")
    # With two steps to a column the model changes within one.
    assert texture[column] == ("█" if width == 120 else "▒")
    assert texture[column - 1] == "·"
    assert set(texture[column + 1 :]) == {"█"}


def test_twenty_steps_exactly() -> None:
    lines = draw_plan(coop_plan(20), 80)
    assert lines == [
        "step                              0                   10  12            19",
        "t                                 999                 500 400           50",
        "sigma                             14.6                7.31           0.731",
        "structure               model     █ █ █ █ █ █ █ █ █ █ · · · · · · · · · ·",
        "texture                 model     · · · · · · · · · · █ █ █ █ █ █ █ █ █ █",
        "partner                 partner   █ █ █ █ █ █ █ █ █ █ █ █ · · · · · · · ·",
        "edges                   adapter   █ █ █ █ █ █ █ █ █ █ █ █ · · · · · · · ·",
        "bridge.partner_to_main  transfer  █ █ █ █ █ █ █ █ █ █ █ █ · · · · · · · ·",
    ]


def test_a_transfer_of_one_step_of_a_thousand_is_seen() -> None:
    steps = [Step(i, 999 - i, 1.0, 1.0, "unet", transfers=("carry",) if i == 700 else ()) for i in range(1000)]
    lines = draw_plan(steps, 80)
    carry = next(line for line in lines if line.startswith("carry"))
    assert carry.count("▒") == 1
    assert "700" in lines[0].split()
    assert "steps, ▒ some" in lines[-1]


def test_an_actor_with_two_roles_has_two_lanes() -> None:
    steps = (Step(0, 9, 2.0, 1.0, "a", partners=("b", "b")), Step(1, 4, 1.0, 0.0, "b", transfers=("x",)))
    lanes = plan_lanes(steps)
    assert [(lane.role, lane.name, lane.active) for lane in lanes] == [
        ("model", "a", (True, False)),
        ("model", "b", (False, True)),
        ("partner", "b", (True, False)),
        ("transfer", "x", (False, True)),
    ]


def test_long_and_wide_names_are_cut() -> None:
    steps = (Step(0, 9, 2.0, 0.0, "模型" * 40, partners=("two\nlines " * 20,)),)
    for width in (60, 80, 120):
        lines = draw_plan(steps, width)
        assert all(cell_len(line) <= width and "\n" not in line for line in lines)
        assert sum("…" in line for line in lines) == 2


def test_ascii_for_terminals_without_unicode() -> None:
    text = "\n".join(draw_plan(coop_plan(1000), 60, ascii_only=True))
    assert text.isascii()
    assert "#" in text
    assert "+" in text


ACTOR = st.sampled_from(["a", "b", "c"])
ACTORS = st.lists(ACTOR, max_size=2).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Step, ...]:
    count = draw(st.integers(1, 150))
    drawn = draw(st.lists(st.tuples(ACTOR, ACTORS, ACTORS, ACTORS), min_size=1, max_size=8))
    lengths = draw(st.lists(st.integers(1, 40), min_size=len(drawn), max_size=len(drawn)))
    spread = [who for who, length in zip(drawn, lengths, strict=True) for _ in range(length)]
    return tuple(Step(i, 999 - i, 20.0 / (i + 1), 0.0, *spread[i % len(spread)]) for i in range(count))


@given(plans(), st.integers(40, 160))
def test_lines_always_fit_and_say_the_truth(steps: tuple[Step, ...], width: int) -> None:
    lanes, lines = plan_lanes(steps), draw_plan(steps, width)
    assert all(cell_len(line) <= width for line in lines)
    for lane, line in zip(lanes, lines[3:], strict=False):
        assert ("█" in line or "▒" in line) == any(lane.active)
        assert ("·" in line or "▒" in line) == (not all(lane.active))
    assert [step for phase in phases(steps) for step in phase] == list(steps)
    marked = marked_steps(steps)
    assert marked[0] is steps[0]
    assert marked[-1] is steps[-1]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 12)), min_size=1, max_size=20))
def test_labels_never_touch(labels: list[tuple[int, int]]) -> None:
    wanted = sorted(start for start, _ in labels)
    lengths = [length for _, length in labels]
    placed = place_labels(wanted, lengths, 112)
    spans = sorted((start, start + n) for start, n in zip(placed, lengths, strict=True) if start is not None)
    assert placed[0] == wanted[0]
    assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))


# The command


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that can be inspected: its manifest, and an empty graph."""
    folder = tmp_path / "coop.bundle"
    folder.mkdir()
    (folder / "sampling.mindir").touch()
    data = json.loads(tiny_manifest({"sampling.mindir": "0" * 64}).to_json())
    data["text_encoder"] = None
    data["steps"] = [asdict(step) for step in coop_plan(20)]
    data["models"] |= {name: {"kind": "unet", "config": {}, "loras": []} for name in ("partner", "edges")}
    (folder / "manifest.json").write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
    return folder


def test_inspect_draws_the_plan(bundle: Path) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(bundle)])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    drawing = draw_plan(coop_plan(20), 120)
    assert drawing[0] in lines
    assert lines[lines.index(drawing[0]) :][: len(drawing)] == drawing
    first_phase = next(line for line in lines if line.startswith("0 to 9 (10)"))
    assert first_phase.split()[-4:] == ["structure", "partner,", "edges,", TRANSFER]
    assert "Functions" in shown.stdout


def test_inspect_as_json_has_the_steps(bundle: Path) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(bundle), "--format", "json"])
    assert shown.stdout == (bundle / "manifest.json").read_text()
    found = json.loads(shown.stdout)["steps"]
    assert found[0] == json.loads(json.dumps(asdict(coop_plan(20)[0])))
