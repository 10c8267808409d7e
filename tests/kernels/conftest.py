"""The built library, once for each instruction set and number of threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kernels.calling import LEVELS, Library

from coopdraw.kernels.cpu.build import cpu_library


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Library]:
    """The library that runs at a level, with a number of threads."""
    folder: Path = tmp_path_factory.mktemp("libraries")
    built: dict[tuple[str, int], Library] = {}

    def library(level: str, threads: int) -> Library:
        if (level, threads) not in built:
            built[level, threads] = Library(cpu_library(), folder, level, threads)
        return built[level, threads]

    return library


@pytest.fixture(scope="session", params=LEVELS)
def library(request: pytest.FixtureRequest, libraries: Callable[[str, int], Library]) -> Library:
    """The library at each level, with two threads."""
    return libraries(request.param, 2)
