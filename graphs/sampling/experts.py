"""Which expert runs at which step: the time-decoupled generators of PanGu-Draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coopdraw.graphs.sampling.schedule import Step


@dataclass(frozen=True)
class ExpertSwitch:
    """The structure model runs while t >= t_struct, the texture model after it.

    `previous` looks at the t of the step before (step 0 is structure), as the released code does; `current` at the
    step's own t, as the paper (arXiv 2312.16486, time-decoupled training) says. At 40 steps: 21 + 19 and 20 + 20.
    """

    structure: str
    texture: str
    t_struct: int
    switch: Literal["previous", "current"] = "previous"

    def expert(self, schedule: tuple[Step, ...], index: int) -> str:
        """Name of the model that runs step `index`."""
        if self.switch == "current":
            t = schedule[index].t
        elif index == 0:
            return self.structure
        else:
            t = schedule[index - 1].t
        return self.structure if t >= self.t_struct else self.texture
