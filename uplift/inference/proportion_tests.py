"""Tests of two proportions from counts: exact ones for few units, the classic ones for many.

`score` in `proportions` is the default of an analysis. These are for a definition that names
another test, and to compare: each returns a p-value, for "treatment differs", "is greater" or "is
less".
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.proportions import events_of, score_statistic

Alternative = Literal["two-sided", "greater", "less"]
ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater", "less")
IntArray = npt.NDArray[np.int64]

LARGEST_EXACT = 1_000_000  # tables that Barnard's and Boschloo's tests may enumerate


@dataclass(frozen=True)
class Events:
    """How many of the units of an arm had the event."""

    events: int
    n_units: int

    def __post_init__(self) -> None:
        if not 0 <= self.events <= self.n_units or self.n_units == 0:
            raise DataError(
                f"Events must be between 0 and the units, got {self.events} of {self.n_units}.",
                code="COUNTS_INVALID",
            )

    @classmethod
    def of(cls, moments: Moments, column: str) -> "Events":
        """Of a column of 0 and 1; refused when it holds anything else."""
        return cls(int(events_of(moments, column)), int(moments.count))

    @property
    def share(self) -> float:
        """Events per unit."""
        return self.events / self.n_units


def score_test(
    treatment: Events, control: Events, *, alternative: Alternative = "two-sided"
) -> float:
    """The score test of no difference: Pearson's, with n - 1 for n."""
    events = (treatment.events, control.events)
    return _tail(score_statistic(0.0, events, (treatment.n_units, control.n_units)), alternative)


def z_test(
    treatment: Events,
    control: Events,
    *,
    pooled: bool = True,
    continuity_correction: bool = False,
    alternative: Alternative = "two-sided",
) -> float:
    """Difference of proportions over its standard error, on a normal.

    pooled                 standard error of equal proportions (the test's own hypothesis) or of
                           the observed ones
    continuity_correction  moves the difference by (1 / n_t + 1 / n_c) / 2 towards 0, not past it
    """
    difference = treatment.share - control.share
    error = std_error(treatment, control, pooled=pooled)
    if continuity_correction:
        by = half_unit(treatment, control)
        difference = np.sign(difference) * max(abs(difference) - by, 0.0)
    if error == 0:
        return 1.0 if difference == 0 else _tail(np.copysign(np.inf, difference), alternative)
    return _tail(difference / error, alternative)


def std_error(treatment: Events, control: Events, *, pooled: bool) -> float:
    """Of the difference of the observed proportions, pooled or not."""
    if pooled:
        n = treatment.n_units + control.n_units
        p = (treatment.events + control.events) / n
        return float(np.sqrt(p * (1 - p) * (1 / treatment.n_units + 1 / control.n_units)))
    parts = (arm.share * (1 - arm.share) / arm.n_units for arm in (treatment, control))
    return float(np.sqrt(sum(parts)))


def half_unit(treatment: Events, control: Events) -> float:
    """The continuity correction of a difference of proportions."""
    return 0.5 * (1 / treatment.n_units + 1 / control.n_units)


def pearson_test(
    treatment: Events, control: Events, *, continuity_correction: bool = False
) -> float:
    """Pearson's chi-squared test of the 2 x 2 table, two-sided; with Yates' correction if asked.

    nan when no unit, or every unit, had the event.
    """
    return _contingency(treatment, control, continuity_correction, "pearson")


def g_test(treatment: Events, control: Events, *, continuity_correction: bool = False) -> float:
    """The likelihood ratio (G) test of the 2 x 2 table, two-sided."""
    return _contingency(treatment, control, continuity_correction, "log-likelihood")


def fisher_test(
    treatment: Events, control: Events, *, alternative: Alternative = "two-sided"
) -> float:
    """Fisher's exact test, given the total of events; conservative."""
    table = _table(treatment, control)
    return float(stats.fisher_exact(table, alternative=_known(alternative)).pvalue)


def barnard_test(
    treatment: Events,
    control: Events,
    *,
    pooled: bool = True,
    alternative: Alternative = "two-sided",
) -> float:
    """Barnard's exact test by the z statistic: sharper than Fisher's, for up to some 1,000 units.

    Source: Barnard (1947), Biometrika 34(1-2).
    """
    table = _small_table(treatment, control)
    found = stats.barnard_exact(table, alternative=_known(alternative), pooled=pooled)
    return float(found.pvalue)


def boschloo_test(
    treatment: Events, control: Events, *, alternative: Alternative = "two-sided"
) -> float:
    """Boschloo's exact test: Barnard's by Fisher's p-value, never less sharp than Fisher's.

    Source: Boschloo (1970), Statistica Neerlandica 24(1).
    """
    table = _small_table(treatment, control)
    return float(stats.boschloo_exact(table, alternative=_known(alternative)).pvalue)


def _contingency(
    treatment: Events,
    control: Events,
    continuity_correction: bool,
    statistic: Literal["pearson", "log-likelihood"],
) -> float:
    table = _table(treatment, control)
    if np.any(table.sum(axis=1) == 0):
        return float("nan")
    found = stats.chi2_contingency(table, correction=continuity_correction, lambda_=statistic)
    return float(found.pvalue)


def _table(treatment: Events, control: Events) -> IntArray:
    """Events in the first row, the others below; treatment first. (2, 2)."""
    events = np.array([treatment.events, control.events], dtype=np.int64)
    return np.stack([events, np.array([treatment.n_units, control.n_units]) - events])


def _small_table(treatment: Events, control: Events) -> IntArray:
    tables = (treatment.n_units + 1) * (control.n_units + 1)
    if tables > LARGEST_EXACT:
        raise DefinitionError(
            f"An exact test of {treatment.n_units:,} against {control.n_units:,} units would "
            f"enumerate {tables:,} tables, more than {LARGEST_EXACT:,}. Use the score test, or "
            "Fisher's.",
            code="EXACT_TOO_LARGE",
        )
    return _table(treatment, control)


def _tail(z: float, alternative: Alternative) -> float:
    if _known(alternative) == "two-sided":
        return float(2 * stats.norm.sf(abs(z)))
    return float(stats.norm.sf(z if alternative == "greater" else -z))


def _known(alternative: Alternative) -> Alternative:
    if alternative not in ALTERNATIVES:
        raise DefinitionError(
            f"alternative must be one of {', '.join(ALTERNATIVES)}, got {alternative!r}.",
            code="ALTERNATIVE_INVALID",
        )
    return alternative
