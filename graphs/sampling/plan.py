"""The step plan: which model, partners, transfers and adapters act at which step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.sampling.coop import MAIN, LatentBridge, ResolutionBridge, Transfer, Window
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.schedule import Step, make_schedule
from coopdraw.graphs.sampling.start import ImageStart


@dataclass(frozen=True)
class AdapterUse:
    """An adapter on a model: what it adds is multiplied by `scale`, at the steps of `window` (None: all)."""

    name: str
    scale: float = 1.0
    window: Window | None = None

    def acts_at(self, index: int) -> bool:
        """Whether the adapter runs at a step: never with scale 0, which would change nothing."""
        return self.scale != 0.0 and (self.window is None or self.window[0] <= index < self.window[1])


@dataclass(frozen=True)
class ProgramSettings:
    """What the recipe fixes about sampling. `adapters` are by model name. With `start` only the last steps are run, and
    windows count those from 0.
    """

    steps: int
    guidance: Guidance
    experts: ExpertSwitch
    latent_bridges: tuple[LatentBridge, ...] = ()
    resolution_bridges: tuple[ResolutionBridge, ...] = ()
    adapters: Mapping[str, tuple[AdapterUse, ...]] = field(default_factory=dict)
    start: ImageStart | None = None

    def schedule(self) -> tuple[Step, ...]:
        """The steps that are run."""
        return make_schedule(self.steps, 1.0 if self.start is None else self.start.strength)


@dataclass(frozen=True)
class PlannedStep:
    """One line of the plan. `arrivals` are the resolution bridges crossed before `model` runs the step, in order;
    `branches` those of guidance that every model of the step predicts.
    """

    step: Step
    model: str
    space: str
    arrivals: tuple[tuple[ResolutionBridge, Transfer], ...]
    partners: tuple[LatentBridge, ...]
    adapters: tuple[str, ...]
    branches: tuple[str, ...]

    def transfers(self) -> tuple[Transfer, ...]:
        """Everything carried from one latent space to another at this step, each once."""
        found = [transfer for _, transfer in self.arrivals]
        for bridge in self.partners:
            found.append(Transfer(bridge.partner, self.space))
            if self.goes_back(bridge) or 0 < self.step.index == bridge.window[0]:
                found.append(Transfer(self.space, bridge.partner))
        return tuple(dict.fromkeys(found))

    def goes_back(self, bridge: LatentBridge) -> bool:
        """Whether a partner gets the mixed prediction: not at its last step, whose latent nobody looks at again."""
        return bridge.feedback and self.step.index + 1 < bridge.window[1]

    def spaces(self) -> tuple[str, ...]:
        """The spaces that the running latent is in at this step, from that before the arrivals to `space`."""
        return (*(transfer.source for _, transfer in self.arrivals), self.space)

    def models(self) -> tuple[str, ...]:
        """Every model that predicts at this step."""
        return (*(bridge.source for bridge, _ in self.arrivals), self.model, *(b.partner for b in self.partners))


def step_plan(settings: ProgramSettings) -> tuple[PlannedStep, ...]:
    """The plan of a run; raises CoopdrawError for a resolution bridge that no step reaches.

    The expert switch looks at the whole schedule: at the first step that is run, `previous` is the t before it.
    """
    schedule, whole = settings.schedule(), make_schedule(settings.steps)
    skipped = len(whole) - len(schedule)
    bridges = sorted(settings.resolution_bridges, key=lambda bridge: -bridge.at)
    spaces = [*(bridge.source for bridge in bridges), MAIN]
    crossings = [_crossing(schedule, bridge) for bridge in bridges]
    plan = []
    for step in schedule:
        stage = sum(crossing <= step.index for crossing in crossings)
        arrivals = tuple(
            (bridge, Transfer(bridge.source, spaces[index + 1], bridge.upsample))
            for index, bridge in enumerate(bridges)
            if crossings[index] == step.index
        )
        model = settings.experts.expert(whole, skipped + step.index) if spaces[stage] == MAIN else spaces[stage]
        partners = tuple(bridge for bridge in settings.latent_bridges if bridge.acts_at(step.index))
        branches = settings.guidance.branches_at(step.index)
        planned = PlannedStep(step, model, spaces[stage], arrivals, partners, (), branches)
        adapters = tuple(
            use.name
            for name in dict.fromkeys(planned.models())
            for use in settings.adapters.get(name, ())
            if use.acts_at(step.index)
        )
        plan.append(replace(planned, adapters=adapters))
    return tuple(plan)


def picture_spaces(settings: ProgramSettings, plan: tuple[PlannedStep, ...]) -> tuple[str, ...]:
    """The spaces that a start picture is encoded in: that of the first latent, those of partners that are there from
    the first step, and with a mask every space that the running latent is ever in.
    """
    if settings.start is None:
        return ()
    found = [plan[0].spaces()[0], *(bridge.partner for bridge in plan[0].partners)]
    if settings.start.mask:
        found += [space for planned in plan for space in planned.spaces()]
    return tuple(dict.fromkeys(found))


def _crossing(schedule: tuple[Step, ...], bridge: ResolutionBridge) -> int:
    """The first step with t <= at."""
    for step in schedule:
        if step.t <= bridge.at:
            return step.index
    raise CoopdrawError(f"bridge {bridge.name}: no step has t <= {bridge.at}; give at least {schedule[-1].t}")
