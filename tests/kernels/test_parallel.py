"""Threads: the same bits with any number of them, calls from several threads at once, forked children."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from kernels.calling import LEVELS, Library

from coopdraw.kernels.cpu.build import cpu_library

Case = tuple[str, list[np.ndarray], dict[str, Any]]


def cases() -> list[Case]:
    """Each operator with enough work for all threads, and shapes that divide evenly among none."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    norm = {"epsilon": 1e-5, "activation": "silu", "add": "full", "modulated": False, "keep_sum": True}
    x = normal(1, 30, 83, 91)
    return [
        (
            "attention",
            [normal(1, 333, 60), normal(1, 222, 60), normal(1, 222, 60)],
            {"heads": 3, "scale": 0.2, "layout": "BSH"},
        ),
        *(
            ("fused_group_norm", [x, normal(30), normal(30), normal(*x.shape)], {**norm, "groups": groups})
            for groups in (1, 3, 30)
        ),
        (
            "fused_layer_norm",
            [normal(777, 320), normal(320), normal(320), normal(777, 320)],
            {"epsilon": 1e-5, "keep_sum": True},
        ),
        ("geglu", [normal(777, 642)], {"approximate": "none", "gate": "second"}),
        ("bias_activation", [x, normal(30)], {"axis": 1, "activation": "silu"}),
        ("linear_combination", [x, x], {"weights": (0.5, 2.0)}),
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_the_number_of_threads_changes_no_bit(libraries: Callable[[str, int], Library], level: str) -> None:
    for operator, inputs, attributes in cases():
        one = libraries(level, 1).run(operator, inputs, **attributes)
        two = libraries(level, 2).run(operator, inputs, **attributes)
        for alone, shared in zip(one, two, strict=True):
            np.testing.assert_array_equal(alone, shared)


def test_calls_at_the_same_time(libraries: Callable[[str, int], Library]) -> None:
    """MindSpore may run two nodes at once: one gets the threads, the others run on their own."""
    library = libraries("avx512", 2)
    wanted = [library.run(operator, inputs, **attributes) for operator, inputs, attributes in cases()]

    def run(index: int) -> bool:
        operator, inputs, attributes = cases()[index % len(wanted)]
        got = library.run(operator, inputs, **attributes)
        return all(np.array_equal(own, want) for own, want in zip(got, wanted[index % len(wanted)], strict=True))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(run, range(60)))


SCRIPT = textwrap.dedent("""
    import ctypes, os, sys
    import numpy as np
    functions = ctypes.CDLL(sys.argv[1])
    def call():
        arrays = [np.ones(1 << 20, np.float32), np.array([2.0]), np.zeros(1 << 20, np.float32)]
        pointer = ctypes.POINTER(ctypes.c_int64)
        shapes = [(ctypes.c_int64 * 1)(*array.shape) for array in arrays]
        status = functions.coopdraw_linear_combination(
            3, (ctypes.c_void_p * 3)(*[array.ctypes.data for array in arrays]), (ctypes.c_int * 3)(1, 1, 1),
            (pointer * 3)(*[ctypes.cast(shape, pointer) for shape in shapes]),
            (ctypes.c_char_p * 3)(b"float32", b"float64", b"float32"), None, None)
        assert status == 0 and (arrays[2] == 2).all()
    def threads():
        return len(os.listdir("/proc/self/task"))
""")


def run_script(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(code), str(cpu_library())],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_makes_threads_of_its_own() -> None:
    run_script("""
        call()
        child = os.fork()
        if child == 0:
            call()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        call()
    """)


@pytest.mark.parametrize(("wish", "most"), [("1", 1), ("2", 2), ("1000", os.cpu_count()), ("none", os.cpu_count())])
def test_threads_are_bounded_by_the_setting_and_the_processors(wish: str, most: int) -> None:
    """The caller's thread is one of them."""
    output = run_script("before = threads(); call(); print(threads() - before + 1)", COOPDRAW_THREADS=wish)
    assert int(output) == min(most, len(os.sched_getaffinity(0)))


def test_threads_that_wait_use_no_time() -> None:
    output = run_script("import time; call(); a = time.process_time(); time.sleep(1); print(time.process_time() - a)")
    assert float(output) < 0.2
