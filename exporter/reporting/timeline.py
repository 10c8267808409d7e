"""Where everything of the step plan's picture lies; the template turns it into SVG. All lengths are in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coopdraw.exporter.reporting.plan import Lane, actors, marked_steps, phases, place_labels, plan_lanes
from coopdraw.runtime.manifest import Step

_WIDTH = 1000.0
_RIGHT_MARGIN = 12.0
_CURVE_TOP, _CURVE_BOTTOM = 16.0, 126.0
_ABOVE_ZERO = 14.0  # a logarithmic scale has no place for 0: it is drawn this far below the smallest sigma
_LANES_TOP, _LANE_HEIGHT = 142.0, 24.0
_LABELS_HEIGHT = 64.0
_CHARACTER = 7.3  # of the 12 px monospace font of the labels, rounded up
_LONGEST_NAME = 32
_NARROWEST_STEP = 5.0  # steps narrower than this are not separated by lines
_MOST_TICKS = 5


@dataclass(frozen=True)
class Box:
    """A stretch of steps; `title` is shown under the pointer."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class DrawnLane:
    """One actor; `label` is its name, cut if it is long."""

    role: str
    name: str
    label: str
    y: float
    bars: tuple[Box, ...]


@dataclass(frozen=True)
class Tick:
    """A line of the sigma scale."""

    y: float
    label: str


@dataclass(frozen=True)
class StepLabel:
    """Step, t and sigma of a marked step, below the lanes."""

    x: float
    step: str
    t: str
    sigma: str


@dataclass(frozen=True)
class Timeline:
    """The picture: the sigma curve above, the lanes below it, the labels at the bottom, columns over all of it."""

    width: float
    height: float
    left: float
    right: float
    curve_top: float
    curve_bottom: float
    lanes_top: float
    lanes_bottom: float
    lane_height: float
    ticks: tuple[Tick, ...]
    curve: tuple[tuple[float, float], ...]
    lanes: tuple[DrawnLane, ...]
    separators: tuple[float, ...]
    changes: tuple[float, ...]
    labels: tuple[StepLabel, ...]
    columns: tuple[Box, ...]


def draw_timeline(steps: Sequence[Step]) -> Timeline:
    """The picture of a plan of one step or more."""
    lanes = plan_lanes(steps)
    characters = max(min(len(lane.name), _LONGEST_NAME) + 1 + len(lane.role) for lane in lanes)
    left, right = characters * _CHARACTER + 12.0, _WIDTH - _RIGHT_MARGIN
    step_width = (right - left) / len(steps)
    edges = [left + index * step_width for index in range(len(steps) + 1)]
    scale = _SigmaScale(steps)
    lanes_bottom = _LANES_TOP + len(lanes) * _LANE_HEIGHT
    return Timeline(
        width=_WIDTH,
        height=lanes_bottom + _LABELS_HEIGHT,
        left=left,
        right=right,
        curve_top=_CURVE_TOP,
        curve_bottom=_CURVE_BOTTOM,
        lanes_top=_LANES_TOP,
        lanes_bottom=lanes_bottom,
        lane_height=_LANE_HEIGHT,
        ticks=tuple(scale.ticks()),
        curve=tuple(_curve(steps, edges, scale)),
        lanes=tuple(_draw_lane(lane, index, edges) for index, lane in enumerate(lanes)),
        separators=tuple(edges[1:-1]) if step_width >= _NARROWEST_STEP else (),
        changes=tuple(edges[phase[0].step] for phase in phases(steps))[1:],
        labels=tuple(_labels(steps, edges)),
        columns=tuple(Box(edges[step.step], step_width, _describe(step)) for step in steps),
    )


class _SigmaScale:
    """Heights of noise levels: logarithmic, with a place for 0 at the bottom."""

    def __init__(self, steps: Sequence[Step]) -> None:
        levels = {level for step in steps for level in (step.sigma, step.sigma_next)}
        self._has_zero = 0.0 in levels
        positive = levels - {0.0} or {1.0}
        self._ends = max(positive), min(positive)
        self._highest, self._lowest = (math.log10(level) for level in self._ends)
        self._bottom = _CURVE_BOTTOM - (_ABOVE_ZERO if self._has_zero else 0.0)

    def y(self, sigma: float) -> float:
        if sigma <= 0.0:
            return _CURVE_BOTTOM
        share = (math.log10(sigma) - self._lowest) / ((self._highest - self._lowest) or 1.0)
        return self._bottom - share * (self._bottom - _CURVE_TOP)

    def ticks(self) -> Iterator[Tick]:
        """Powers of ten, a few of them; the ends of the scale if there are no two."""
        decades = range(math.ceil(self._lowest), math.floor(self._highest) + 1)
        shown = [10.0**power for power in decades[:: -(-len(decades) // _MOST_TICKS)]] if len(decades) > 1 else []
        for sigma in shown or dict.fromkeys(self._ends):
            yield Tick(self.y(sigma), f"{sigma:.3g}")
        if self._has_zero:
            yield Tick(_CURVE_BOTTOM, "0")


def _curve(steps: Sequence[Step], edges: Sequence[float], scale: _SigmaScale) -> Iterator[tuple[float, float]]:
    """Corners from the left end of each step to its right end, those that repeat once."""
    previous = None
    for step in steps:
        ends = (edges[step.step], scale.y(step.sigma)), (edges[step.step + 1], scale.y(step.sigma_next))
        for point in ends:
            if point != previous:
                yield point
            previous = point


def _draw_lane(lane: Lane, index: int, edges: Sequence[float]) -> DrawnLane:
    label = lane.name if len(lane.name) <= _LONGEST_NAME else lane.name[: _LONGEST_NAME - 1] + "…"
    bars = tuple(
        Box(edges[first], edges[end] - edges[first], f"{lane.name}: steps {first} to {end - 1}")
        for first, end in lane.runs()
    )
    return DrawnLane(lane.role, lane.name, label, _LANES_TOP + index * _LANE_HEIGHT, bars)


def _labels(steps: Sequence[Step], edges: Sequence[float]) -> Iterator[StepLabel]:
    labels = [StepLabel(edges[s.step], str(s.step), str(s.t), f"{s.sigma:.3g}") for s in marked_steps(steps)]
    lengths = [(max(len(label.step), len(label.t), len(label.sigma)) + 1) * _CHARACTER for label in labels]
    placed = place_labels([label.x for label in labels], lengths, _WIDTH)
    for label, x in zip(labels, placed, strict=True):
        if x is not None:
            yield StepLabel(x, label.step, label.t, label.sigma)


def _describe(step: Step) -> str:
    acting = ", ".join(name for _, name in actors(step))
    return f"step {step.step}: t {step.t}, sigma {step.sigma:.4g} to {step.sigma_next:.4g}; {acting}"
