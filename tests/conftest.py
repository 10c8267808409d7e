"""Settings of the whole test suite.

Lets tests import helpers by their path below tests/, such as `from graphs.strategies import modules`.

pytest's importlib mode puts nothing on the path. The test folders have the names of the repository's own folders, so
the root, which `python -m pytest` puts on the path, must go: the packages are installed as `coopdraw.<folder>` anyway.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

_TESTS = Path(__file__).resolve().parent
sys.path[:] = [str(_TESTS), *(entry for entry in sys.path if Path(entry).resolve() not in (_TESTS, _TESTS.parent))]

settings.register_profile("coopdraw", deadline=None)  # a busy machine must not fail a test
settings.load_profile("coopdraw")
