"""The error function in float64, vectorised."""

from __future__ import annotations

import numpy as np

# Rational approximations of the Cephes Math Library (S. L. Moshier), ndtr.c, with the denominators' leading 1 added.
_SMALL_NUMERATOR = (
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
_SMALL_DENOMINATOR = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
_TAIL_NUMERATOR = (
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
_TAIL_DENOMINATOR = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)
_SATURATED = 6.0  # erfc(6) is 2e-17, less than half an ulp of 1


def erf(x: np.ndarray) -> np.ndarray:
    """erf(x) as float64, any shape, within a few ulp; nan gives nan.

    |x| <= 1: x T(x^2) / U(x^2); beyond that 1 - exp(-x^2) P(|x|) / Q(|x|).
    """
    x = np.asarray(x, np.float64)
    magnitude = np.abs(x)
    result = np.empty_like(x)
    small = magnitude <= 1.0
    near, squared = x[small], np.square(x[small])
    result[small] = near * _polynomial(_SMALL_NUMERATOR, squared) / _polynomial(_SMALL_DENOMINATOR, squared)
    tail = np.minimum(magnitude[~small], _SATURATED)
    complement = np.exp(-np.square(tail)) * _polynomial(_TAIL_NUMERATOR, tail) / _polynomial(_TAIL_DENOMINATOR, tail)
    result[~small] = np.copysign(1.0 - complement, x[~small])
    return result


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Horner's scheme, highest power first."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result *= x
        result += coefficient
    return result
