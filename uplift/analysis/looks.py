"""What one reading may conclude, given when it is made and which readings came before it.

A look that the plan declares spends its part of the error (group-sequential), or all of them
together spend it at any time (always-valid). Either way a test's p-value is turned into one that
holds at this look, and an interval is read at the level that this look leaves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from scipy import optimize, stats

from uplift.errors import StateError
from uplift.experiment import Experiment
from uplift.inference.always_valid import (
    always_valid_p_value,
    mixture_variance,
    multiplier_of_mixture,
)
from uplift.inference.group_sequential import information_fractions, spending_boundary
from uplift.inference.means import Estimate, widened
from uplift.looks import information, last_day, look_days

Stage = Literal["final", "look", "between looks"]
SMALLEST_P_VALUE = 1e-12  # where the search for a p-value begins
NOT_THE_SAME = 1e-9
MOST_STD_ERRORS = 8.0  # beyond, a level is 1 as a float; such an interval is widened instead
LEAST_INFORMATION = 0.01  # of a reading before any is in; it only sets how wide a band is


@dataclass(frozen=True)
class LookTest:
    """One test at one look.

    z        estimate over its standard error
    bound    what |z| must reach for the plan's error, were this the only test
    p_value  valid at this look, the smallest until then; before the correction for the family
    """

    effect: float
    ci: tuple[float, float]
    z: float
    bound: float
    p_value: float


@dataclass(frozen=True)
class Look:
    """One reading that counts, as it is kept for those after it.

    number    from 1
    day       after the launch
    fraction  information that was in, as a share of the planned
    n_units   that were read
    tests     by "metric by treatment", and "profit by treatment"
    """

    number: int
    day: int
    as_of: datetime
    fraction: float
    n_units: int
    final: bool
    tests: Mapping[str, LookTest]


@dataclass(frozen=True)
class LookRule:
    """How the error of a test is used at this reading.

    stage       final · look (declared, more to come) · between looks (shown, decides nothing)
    fractions   information at the looks so far, this one last
    monitoring  fixed reads once, at the end; `spending` is that of group-sequential looks
    information of this reading and `tuned_at` in one unit, for always-valid readings, whose
                mixture is tuned for the error `alpha`
    before      by test, and whether its effect was above 0: the smallest p-value of earlier looks
    """

    stage: Stage = "final"
    fractions: tuple[float, ...] = (1.0,)
    monitoring: str = "fixed"
    spending: str = "obrien_fleming"
    information: float = 1.0
    tuned_at: float = 1.0
    alpha: float = 0.05
    before: Mapping[tuple[str, bool], float] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Of this look, from 1."""
        return len(self.fractions)

    @property
    def always_valid(self) -> bool:
        """Whether this reading holds at any time; between declared looks it must."""
        return self.monitoring == "always_valid" or self.stage == "between looks"

    @property
    def plain(self) -> bool:
        """Whether this is the only reading, so that nothing is shared."""
        return not self.always_valid and self.fractions == (1.0,)

    def bound(self, alpha: float) -> float:
        """What |z| of a two-sided test with the error alpha must reach at this reading."""
        if self.plain:
            return float(stats.norm.isf(alpha / 2))
        if self.always_valid:
            mixture = mixture_variance(self.tuned_at, alpha=self.alpha)
            return multiplier_of_mixture(self.information, mixture=mixture, alpha=alpha)
        boundary = spending_boundary(self.fractions, alpha=alpha, spending=self.spending)
        return float(boundary.z[-1])

    def confidence(self, wanted: float) -> float:
        """Level at which an interval is read so that it holds at `wanted` over all looks.

        Of at most 8 standard errors: `holding` widens what needs more.
        """
        if self.plain:
            return wanted
        return float(1 - 2 * stats.norm.sf(min(self.bound(1 - wanted), MOST_STD_ERRORS)))

    def holding(self, estimate: Estimate, *, wanted: float) -> Estimate:
        """The estimate, read at `confidence(wanted)`, with intervals that hold at `wanted`.

        Only the first days of an always-valid reading have bounds above 8 standard errors.
        """
        bound = 0.0 if self.plain else self.bound(1 - wanted)
        if bound <= MOST_STD_ERRORS or np.isnan(estimate.df):
            return estimate
        far, near = (stats.t.isf(stats.norm.sf(z), estimate.df) for z in (bound, MOST_STD_ERRORS))
        return widened(estimate, float(far / near))

    def p_value(self, p_value: float, *, test: str, gain: bool = True) -> float:
        """The p-value of a single two-sided test as one that holds over the looks until now.

        It is at most alpha exactly when this look, or one before it with an effect of the same
        sign, reaches the bound of alpha: a gain that was proven does not prove a loss.

        gain  whether the effect is above 0
        """
        earlier = self.before.get((test, gain), 1.0)
        if self.plain or np.isnan(p_value):
            return min(p_value, earlier) if earlier < 1 else p_value
        return min(self._now(float(stats.norm.isf(max(p_value, 1e-300) / 2))), earlier)

    def _now(self, z: float) -> float:
        if self.always_valid:
            return always_valid_p_value(
                z, self.information, tuning_n=self.tuned_at, alpha=self.alpha
            )
        if self.bound(SMALLEST_P_VALUE) <= z:
            return SMALLEST_P_VALUE
        if self.bound(1 - 1e-6) >= z:
            return 1.0
        return float(
            np.exp(
                optimize.brentq(
                    lambda log_alpha: self.bound(float(np.exp(log_alpha))) - z,
                    np.log(SMALLEST_P_VALUE),
                    np.log(1 - 1e-6),
                    xtol=1e-10,
                )
            )
        )


def look_rule(
    experiment: Experiment,
    *,
    as_of: datetime | None,
    n_mature: int,
    planned_units: int | None,
    earlier: Sequence[Look] | None,
) -> LookRule:
    """The rule of a reading at `as_of` (now final when None).

    n_mature       units whose window has closed; 0 when outcomes so far are read instead
    planned_units  of an experiment that takes in units over time, by its design
    earlier        looks that were taken; None when that is not known: then those of the plan are
                   taken to have been
    """
    plan = experiment.analysis
    day = last_day(experiment) if as_of is None else day_of(experiment, as_of)
    final = as_of is None or as_of >= experiment.schedule.closes_at
    fraction = _fraction(experiment, day, final, n_mature, planned_units)
    before = _taken(experiment, day, fraction) if earlier is None else _kept(earlier, day)
    known: dict[tuple[str, bool], float] = {}
    for test, one in (item for look in earlier or () for item in look.tests.items()):
        key = (test, one.effect > 0)
        known[key] = min(one.p_value, known.get(key, 1.0))
    stage = _stage(experiment, day, final, earlier)
    if plan.monitoring == "always_valid":
        return LookRule(
            stage=stage,
            fractions=(*before, fraction),
            monitoring="always_valid",
            information=float(n_mature) if n_mature and planned_units else fraction,
            tuned_at=float(planned_units) if n_mature and planned_units else 1.0,
            alpha=1 - plan.confidence,
            before=known,
        )
    if plan.monitoring == "fixed":
        return LookRule(stage=stage, information=fraction, alpha=1 - plan.confidence)
    return LookRule(
        stage=stage,
        fractions=_rising((*before, fraction)),
        monitoring=plan.monitoring,
        spending=plan.spending,
        information=fraction,
        before=known,
    )


def day_of(experiment: Experiment, moment: datetime) -> int:
    """Whole days since the launch."""
    return int((moment - experiment.schedule.launch_at).total_seconds() // 86_400)


def _fraction(
    experiment: Experiment, day: int, final: bool, n_mature: int, planned_units: int | None
) -> float:
    if final:
        return 1.0
    if n_mature and planned_units:
        return float(information_fractions([n_mature], planned=planned_units)[0])
    return max(information(experiment, day), LEAST_INFORMATION)


def _taken(experiment: Experiment, day: int, fraction: float) -> tuple[float, ...]:
    """Fractions of the declared looks before this one."""
    days = [d for d in look_days(experiment) if d < day]
    found = [information(experiment, d) for d in days]
    return tuple(f for f in found if 0 < f < fraction - NOT_THE_SAME)


def _kept(earlier: Sequence[Look], day: int) -> tuple[float, ...]:
    late = [look for look in earlier if look.day > day]
    if late:
        raise StateError(
            f"A look of day {late[0].day} was taken already; one of day {day} would come after it "
            "but know less. Read at a later day.",
            code="LOOK_ORDER",
        )
    return tuple(look.fraction for look in earlier if look.day < day)


def _rising(fractions: tuple[float, ...]) -> tuple[float, ...]:
    """Fractions that rise: a look that added no information takes the place of the one before."""
    kept: list[float] = []
    for fraction in fractions:
        while kept and kept[-1] >= fraction - NOT_THE_SAME:
            kept.pop()
        kept.append(fraction)
    return tuple(kept)


def _stage(experiment: Experiment, day: int, final: bool, earlier: Sequence[Look] | None) -> Stage:
    if final:
        return "final"
    if experiment.analysis.monitoring == "always_valid":
        return "look"
    if experiment.analysis.monitoring == "fixed":
        return "between looks"
    due = [d for d in look_days(experiment) if d <= day]
    if earlier is None:
        return "look" if day in due else "between looks"
    last = max((look.day for look in earlier), default=0)
    return "look" if (due and due[-1] > last) or day == last else "between looks"
