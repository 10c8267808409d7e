"""Schedule and expert switch against the released rules, written in another way."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.schedule import alphas_cumprod, initial_noise_scale, make_schedule


def exact_abar(t: int) -> float:
    """Product of 1 - beta with beta = (a + t/999 (b - a))^2 in rational arithmetic; a, b are the ends' roots."""
    start, end = Fraction(math.sqrt(0.00085)), Fraction(math.sqrt(0.012))
    product = 1.0
    for index in range(t + 1):
        product *= float(1 - (start + (end - start) * Fraction(index, 999)) ** 2)
    return product


@pytest.mark.parametrize("t", [0, 1, 24, 499, 999])
def test_alphas_cumprod(t: int) -> None:
    # Up to a thousand roundings of float64 in either product.
    assert alphas_cumprod()[t] == pytest.approx(exact_abar(t), rel=1e-12)


@pytest.mark.parametrize(("t", "inverse"), [(999, 0.07), (499, 0.6), (99, 2.9), (24, 6.6)])
def test_the_error_law_of_the_paper(t: int, inverse: float) -> None:
    abar = alphas_cumprod()[t]
    # The figures are known to one or two digits.
    assert math.sqrt(abar / (1 - abar)) == pytest.approx(inverse, rel=0.1)


@given(st.integers(1, 1000))
def test_steps_go_down_to_zero_noise(steps: int) -> None:
    schedule = make_schedule(steps)
    assert [step.index for step in schedule] == list(range(steps))
    assert schedule[0].t == 999
    # 999 * (1 - i/n), cut to int; one off is allowed where the exact value is an integer.
    for step in schedule:
        exact = Fraction(999) * (1 - Fraction(step.index, steps))
        assert step.t in {math.floor(exact), math.ceil(exact) - 1}
    sigmas = [step.sigma for step in schedule] + [schedule[-1].sigma_next]
    assert all(before.sigma_next == after.sigma for before, after in itertools.pairwise(schedule))
    assert all(high >= low for high, low in itertools.pairwise(sigmas))
    assert sigmas[-1] == 0.0
    assert initial_noise_scale(schedule) == pytest.approx(math.sqrt(1 + sigmas[0] ** 2))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps(steps: int) -> None:
    with pytest.raises(CoopdrawError, match="1 to 1000"):
        make_schedule(steps)


@pytest.mark.parametrize(("switch", "structure", "texture"), [("previous", 21, 19), ("current", 20, 20)])
def test_the_released_forty_steps(switch: str, structure: int, texture: int) -> None:
    schedule = make_schedule(40)
    rule = ExpertSwitch("structure", "texture", 500, switch)
    experts = [rule.expert(schedule, index) for index in range(40)]
    assert experts == ["structure"] * structure + ["texture"] * texture


def test_extreme_switches() -> None:
    schedule = make_schedule(10)
    for switch in ("previous", "current"):
        never = ExpertSwitch("s", "t", 0, switch)
        assert {never.expert(schedule, index) for index in range(10)} == {"s"}
    at_once = ExpertSwitch("s", "t", 1000, "previous")
    assert [at_once.expert(schedule, index) for index in range(3)] == ["s", "t", "t"]
