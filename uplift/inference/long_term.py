"""Effects over time: bought earlier instead of more, and what is left after a year.

A campaign that only brings purchases forward wins in weeks 1 to 4 and loses in weeks 5 to 12. The
same customers are watched in all windows, so the covariance between windows is part of every
interval here. Customers who leave count 0 from then on, in both arms.
Source: Berger (1982), Technometrics 24(4), for the test of both parts; Šidák (1967), JASA 62(318),
for the re-reads; Hothorn, Bretz & Westfall (2008), Biometrical Journal 50(3), for the curve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.inference.fieller import quotient_interval
from uplift.inference.means import Estimate, contrast
from uplift.inference.periods import PeriodMeans, require_same_periods
from uplift.inference.simultaneous import max_t_quantile
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class PullForward(Result):
    """An early and a later effect, and whether the early one was paid for later.

    early, late  effects in the two windows, per unit
    total        over both windows together
    p_value      of the flag: the larger of the one-sided p-values of "early gain" and "later loss",
                 so that a campaign without both is flagged with probability alpha at most
    lost_share   share of the early gain that the later window took back; above 1 is a net loss
    lost_share_ci  by Fieller's theorem; (nan, nan) when the early gain may be nothing
    """

    early: Estimate
    late: Estimate
    total: Estimate
    p_value: float
    lost_share: float
    lost_share_ci: tuple[float, float]
    confidence: float

    @property
    def flagged(self) -> bool:
        """Whether a gain early and a loss later are both proven."""
        return self.p_value < 1 - self.confidence

    def check(self) -> Check:
        """A warning that a win of the first window must not be scaled as it stands."""
        return Check(
            "pull_forward",
            passed=not self.flagged,
            value=self.lost_share,
            bound=0,
            remedy=f"The gain of the first window ({self.early.effect:.4g} per unit) was followed "
            f"by a loss ({self.late.effect:.4g}): purchases were brought forward. Decide on the "
            f"total, {self.total.effect:.4g}.",
            code="PULL_FORWARD",
            blocking=False,
        )

    def table(self) -> Table:
        """Early, later and total."""
        columns = (
            Column("window"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (name, one.effect, one.ci, one.p_value)
            for name, one in (("early", self.early), ("later", self.late), ("total", self.total))
        ]
        note = "A gain, then a loss: brought forward." if self.flagged else ""
        return Table("Early and later effect", columns, rows, note=note)


def pull_forward(
    treatment: PeriodMeans,
    control: PeriodMeans,
    *,
    early: Sequence[str],
    late: Sequence[str],
    confidence: float = 0.95,
) -> PullForward:
    """The sum of the early periods against that of the later ones.

    early, late  names of periods, none in both; declare them before the readings
    """
    require_same_periods(treatment, control)
    shared = set(early) & set(late)
    if shared or not early or not late:
        raise DefinitionError(
            f"The early and the later window need periods of their own; shared: "
            f"{', '.join(sorted(shared)) or 'none'}.",
            code="WINDOW_INVALID",
        )
    first, second = control.weights_of(early), control.weights_of(late)
    one, other, total = (
        effect_over(treatment, control, weights, confidence=confidence)
        for weights in (first, second, first + second)
    )
    joint = float(first @ (treatment.covariance + control.covariance) @ second)
    gain = float(stats.t.sf(one.effect / one.std_error, one.df)) if one.std_error > 0 else 1.0
    loss = float(stats.t.cdf(other.effect / other.std_error, other.df)) if other.std_error else 1.0
    return PullForward(
        early=one,
        late=other,
        total=total,
        p_value=max(gain, loss),
        lost_share=-other.effect / one.effect if one.effect else float("nan"),
        lost_share_ci=quotient_interval(
            -other.effect,
            one.effect,
            var_top=other.std_error**2,
            var_base=one.std_error**2,
            covariance=-joint,
            quantile=float(stats.t.ppf(0.5 + confidence / 2, min(one.df, other.df))),
        )
        if one.std_error > 0
        else (float("nan"), float("nan")),
        confidence=confidence,
    )


@dataclass(frozen=True)
class Reading:
    """The effect from the beginning until one moment.

    until     name of the last period that is in it
    estimate  with its own interval
    band      interval of a family of readings that hold together
    """

    until: str
    estimate: Estimate
    band: tuple[float, float]

    @property
    def proven(self) -> bool:
        """Whether the band excludes 0."""
        return self.band[0] > 0 or self.band[1] < 0


@dataclass(frozen=True, repr=False)
class Readings(Result):
    """The effect so far, at several moments.

    n_planned   readings that share the error, also those still to come
    confidence  with which all their bands hold together
    """

    readings: tuple[Reading, ...]
    n_planned: int
    confidence: float

    def table(self) -> Table:
        """One row per reading."""
        columns = (
            Column("until"),
            Column("effect so far", kind="signed"),
            Column("ci", kind="interval"),
            Column("band of all", kind="interval"),
            Column("proven"),
        )
        rows = [
            (one.until, one.estimate.effect, one.estimate.ci, one.band, one.proven)
            for one in self.readings
        ]
        return Table("Effect so far", columns, rows)


def rereads(
    treatment: PeriodMeans,
    control: PeriodMeans,
    *,
    until: Sequence[str],
    n_planned: int | None = None,
    confidence: float = 0.95,
) -> Readings:
    """A kept holdout read again after 1, 3, 6, 12 months, each time from the beginning.

    Every reading has the confidence `confidence^(1 / n_planned)`: normal estimates then hold
    together whatever their correlation, and a band that was published never changes when the next
    months come in.

    until      the last period of each reading, oldest first
    n_planned  readings in the plan, those to come included; as many as given when left out
    """
    require_same_periods(treatment, control)
    n = len(until) if n_planned is None else n_planned
    if not until or n < len(until):
        raise DefinitionError(
            f"{len(until)} reading(s) were made and {n} planned. Plan at least those that are "
            "made, before the first.",
            code="WINDOW_INVALID",
        )
    each = confidence ** (1 / n)
    found = [
        _reading(treatment, control, name, confidence=confidence, together=each) for name in until
    ]
    return Readings(tuple(found), n, confidence)


def cumulative_effects(
    treatment: PeriodMeans, control: PeriodMeans, *, confidence: float = 0.95
) -> Readings:
    """The curve of the effect so far after every period, within a band that holds everywhere.

    effect -+ c std_error, with c the quantile of the largest |t| of the curve: the effects so far
    are much alike, so the band is narrower than that of as many `rereads`. It is the band of this
    curve, known to its end; one that is published month after month is that of `rereads`.
    """
    require_same_periods(treatment, control)
    n = len(control.periods)
    so_far = np.tril(np.ones((n, n)))
    spread = so_far @ (treatment.covariance + control.covariance) @ so_far.T
    varies = np.diag(spread) > 0
    error = np.sqrt(np.diag(spread))[varies]
    correlation = spread[np.ix_(varies, varies)] / np.outer(error, error)
    found = [effect_over(treatment, control, weights, confidence=confidence) for weights in so_far]
    df = min((one.df for one, moves in zip(found, varies, strict=True) if moves), default=math.inf)
    wide = max_t_quantile(correlation, confidence=confidence, df=df) if varies.any() else math.nan
    readings = [
        Reading(until, one, _band(one, wide))
        for until, one in zip(control.periods, found, strict=True)
    ]
    return Readings(tuple(readings), n, confidence)


def effect_over(
    treatment: PeriodMeans, control: PeriodMeans, weights: Array, *, confidence: float = 0.95
) -> Estimate:
    """The effect on a weighted sum of periods, e.g. with 1 for each of the first four weeks.

    weights  (n_periods,)
    """
    return contrast(treatment.total(weights), control.total(weights), confidence=confidence)


def _reading(
    treatment: PeriodMeans,
    control: PeriodMeans,
    until: str,
    *,
    confidence: float,
    together: float,
) -> Reading:
    end = int(np.flatnonzero(control.weights_of([until]))[0])
    weights = (np.arange(len(control.periods)) <= end).astype(np.float64)
    found = effect_over(treatment, control, weights, confidence=confidence)
    return Reading(until, found, _band(found, float(stats.t.ppf(0.5 + together / 2, found.df))))


def _band(found: Estimate, wide: float) -> tuple[float, float]:
    half = wide * found.std_error
    return (found.effect - half, found.effect + half) if half > 0 else found.ci
