"""One line of the doctor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. "missing" is needed for the target, "optional" is absent and may stay so."""

    name: str
    status: Literal["ok", "missing", "optional"]
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
