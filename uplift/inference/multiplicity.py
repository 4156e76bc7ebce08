"""Several tests at once: p-values adjusted so that one error rate holds for the declared family.

An adjusted p-value at or below alpha (or q) is a rejection. The family is all tests declared in
advance, also those that could not be made: a nan stays nan and still counts. Intervals that hold
for a family are in `simultaneous`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError

Array = npt.NDArray[np.float64]
PValues = Sequence[float] | Array


def adjust(p_values: PValues, *, method: str) -> Array:
    """Adjusted p-values by the method's name, one of `METHODS`. Returns (n_tests,)."""
    if method not in METHODS:
        raise DefinitionError(
            f"There is no adjustment {method!r}; known: {', '.join(METHODS)}.",
            code="METHOD_UNKNOWN",
        )
    return METHODS[method](p_values)


def bonferroni(p_values: PValues) -> Array:
    """n_tests * p_value, at most 1: the chance of any false rejection is alpha, always."""
    return _single_step(p_values, _many)


def sidak(p_values: PValues) -> Array:
    """1 - (1 - p_value)^n_tests: the chance of any false rejection is alpha.

    For independent tests, and for two-sided tests of jointly normal estimates.
    Source: Šidák (1967), JASA 62(318).
    """
    return _single_step(p_values, _none_of)


def holm(p_values: PValues) -> Array:
    """Adjusted p-values: reject those at or below alpha, and the chance of any false one is alpha.

        running maximum, from the smallest on, of (n_tests - rank) * p_value, at most 1

    p_values  (n_tests,)  the declared family; nan (no test was possible) stays nan and still counts
    returns   (n_tests,)  in the order given

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    return _step_down(p_values, _many)


def holm_sidak(p_values: PValues) -> Array:
    """As `holm`, with 1 - (1 - p_value)^(n_tests - rank): a little sharper, where `sidak` holds."""
    return _step_down(p_values, _none_of)


def hochberg(p_values: PValues) -> Array:
    """As `holm` from the largest p-value down (running minimum): never less sharp.

    For independent or positively dependent tests.
    Source: Hochberg (1988), Biometrika 75(4).
    """
    return _step_up(p_values, lambda p, left: left * p)


def hochberg_sidak(p_values: PValues) -> Array:
    """As `hochberg` with Šidák's constants; to reproduce other programs only.

    Not proven to hold the error: two independent tests without an effect reject with probability
    0.0506 at alpha 0.05. Use `hochberg` or `holm_sidak`.
    """
    return _step_up(p_values, _none_of)


def benjamini_hochberg(p_values: PValues) -> Array:
    """Adjusted p-values: of those at or below q, a share of at most q is false on average.

        running minimum, from the largest down, of n_tests / rank * p_value (rank from 1)

    For independent or positively dependent tests.
    Source: Benjamini & Hochberg (1995), JRSS B 57(1).
    """
    return _step_up(p_values, lambda p, left: len(p) / (len(p) - left + 1) * p)


def benjamini_yekutieli(p_values: PValues) -> Array:
    """As `benjamini_hochberg` under any dependence: times the sum of 1 / i for i up to n_tests.

    Source: Benjamini & Yekutieli (2001), Annals of Statistics 29(4).
    """
    return _step_up(p_values, lambda p, left: harmonic(len(p)) * len(p) / (len(p) - left + 1) * p)


METHODS: dict[str, Callable[[PValues], Array]] = {
    "bonferroni": bonferroni,
    "sidak": sidak,
    "holm": holm,
    "holm_sidak": holm_sidak,
    "hochberg": hochberg,
    "hochberg_sidak": hochberg_sidak,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}


def harmonic(n: int) -> float:
    """1 + 1/2 + ... + 1/n."""
    return float(np.sum(1 / np.arange(1, n + 1)))


Factor = Callable[[Array, Array], Array]


def _many(p: Array, left: Array) -> Array:
    return left * p


def _none_of(p: Array, left: Array) -> Array:
    """1 - (1 - p)^left, with all digits of a small p."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(left * np.log1p(-p)))


def _single_step(p_values: PValues, factor: Factor) -> Array:
    given = _checked(p_values)
    return np.minimum(factor(given, np.full(len(given), float(len(given)))), 1.0)


def _step_down(p_values: PValues, factor: Factor) -> Array:
    """Running maximum from the smallest p-value on, each by how many tests are left."""
    given = _checked(p_values)
    order = np.argsort(given, kind="stable")  # nan last: they count, but hold nothing back
    raised = factor(given[order], len(given) - np.arange(len(given), dtype=np.float64))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted


def _step_up(p_values: PValues, factor: Factor) -> Array:
    """Running minimum from the largest p-value down, each by how many tests are left."""
    given = _checked(p_values)
    missing = np.isnan(given)
    known = np.where(missing, 1.0, given)  # a test that was not possible proves nothing
    order = np.argsort(known, kind="stable")
    raised = factor(known[order], len(known) - np.arange(len(known), dtype=np.float64))
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return np.where(missing, np.nan, adjusted)


def _checked(p_values: PValues) -> Array:
    given = np.asarray(p_values, dtype=np.float64)
    wrong = np.flatnonzero((given < 0) | (given > 1))
    if len(wrong):
        raise DataError(
            f"A p-value must be between 0 and 1, got {given[wrong[0]]} in place {wrong[0] + 1}.",
            code="PROBABILITY_INVALID",
            count=len(wrong),
        )
    return given
