"""What an experiment's data say, as moments per arm: the columns that effects and money need.

Everything after this works on moments. Units are counted once here, in arms, and by cluster where
clusters were randomised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from uplift.analysis.cells import ByArm, in_arm
from uplift.analysis.columns import N_UNITS
from uplift.analysis.looks import LookRule
from uplift.checks import Check
from uplift.experiment import CONTROL
from uplift.inference.crossed import crossed
from uplift.inference.influence import Extremes
from uplift.inference.means import Estimate, shifted, welch
from uplift.inference.moments import Moments
from uplift.inference.poststratification import poststratified, poststratified_ratio
from uplift.inference.proportions import RARE_EVENTS, equal_tailed_score
from uplift.inference.quantiles import Quantile, quantile_difference
from uplift.inference.ratios import adjusted_ratio, ratio
from uplift.inference.regression_adjustment import lin
from uplift.inference.skewed_means import (
    LARGEST_TAIL_ERROR,
    SkewedArm,
    check_skewness,
    common_shape,
)
from uplift.outcomes import SMALL_ARM

Method = Literal[
    "Welch",
    "Lin",
    "score",
    "skewness corrected",
    "post-stratified",
    "by cluster",
    "by cluster, adjusted",
    "by customer",
    "ratio",
    "ratio, adjusted",
    "quantile",
]

TAIL_ERROR_ADJUSTED = 0.4  # of the one-sided error of an adjusted interval: 2.5 may become 3.5 %
ADJUSTED = ("Lin", "by cluster, adjusted", "ratio, adjusted", "post-stratified")


@dataclass(frozen=True, eq=False)
class Readings:
    """Moments of every reading (metric key or money column) per arm.

    moments     by arm, of units, or of cluster totals where clusters were randomised
    covariates  by reading: columns of the moments that adjust it, maybe none
    bases       by metric key of a ratio: the reading it is divided by
    caps        by metric key, where one unit holds most of it: the magnitude that the reading
                `winsorised(key)` is cut to
    assigned    units per arm as assigned; `randomised` counts clusters where those were drawn
    analysed    units per arm with outcomes
    rule        how this reading shares the error with others
    strata      moments by stratum and arm, where units are weighed by stratum
    segments    moments by segment column, value and arm
    waves       moments by wave and arm, where there are several
    customers   moments of customers, where they are drawn anew in every wave (`in_arm`)
    ends        by reading and arm: the largest and smallest values, of units that were randomised
    known_before  columns of the moments that were known before the send
    thirds      by reading and arm: the third central moment, where skewness may be corrected
    quantiles   by metric key and arm
    """

    moments: Mapping[str, Moments]
    covariates: Mapping[str, tuple[str, ...]]
    bases: Mapping[str, str]
    caps: Mapping[str, float]
    assigned: Mapping[str, int]
    randomised: Mapping[str, int]
    analysed: Mapping[str, int]
    clustered: bool
    confidence: float
    data_digest: str
    checks: tuple[Check, ...]
    rule: LookRule = field(default_factory=LookRule)
    strata: Mapping[str, ByArm] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, ByArm]] = field(default_factory=dict)
    waves: Mapping[str, ByArm] = field(default_factory=dict)
    customers: Moments | None = None
    ends: Mapping[str, Mapping[str, Extremes]] = field(default_factory=dict)
    known_before: tuple[str, ...] = ()
    thirds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quantiles: Mapping[str, Mapping[str, Quantile]] = field(default_factory=dict)

    def of(self, moments: ByArm) -> "Readings":
        """The readings of some units only, e.g. of one segment."""
        counts = {arm: round(cell.count) for arm, cell in moments.items()}
        rule = replace(self.rule, before={})  # the looks before were of all units
        return replace(
            self, moments=moments, analysed=counts, rule=rule, strata={}, thirds={}, customers=None
        )

    @property
    def population(self) -> Moments:
        """Moments of all arms together."""
        first, *others = self.moments.values()
        return sum(others, start=first)

    def method(self, reading: str, treatment: str, *, proportion: bool = False) -> Method:
        """How this comparison is estimated: by the design first, then by what the data allow."""
        if reading in self.quantiles:
            return "quantile"
        if self.customers is not None:
            return "by customer"
        if self.clustered or reading in self.bases:
            return self._ratio_method(reading)
        arms = (self.moments[treatment], self.moments[CONTROL])
        narrower = self.strata or self.covariates.get(reading)
        if proportion and (not narrower or any(_rare(arm, reading) for arm in arms)):
            return "score"
        if self.strata:
            return "post-stratified"
        enough = min(self.analysed.values()) >= SMALL_ARM
        if enough and not self.skewness(reading, treatment).passed:
            return "skewness corrected"
        return "Lin" if self.covariates.get(reading) and enough else "Welch"

    def skewness(self, reading: str, treatment: str) -> Check:
        """Whether an interval that knows no skewness errs as often on each side as it says.

        An adjusted one may err somewhat more: what it gains in width outweighs that.
        """
        if reading not in self.thirds:
            return Check("skewness", passed=True)
        arms = (self._shaped(reading, arm) for arm in (treatment, CONTROL))
        adjusted = bool(self.covariates.get(reading))
        tolerance = TAIL_ERROR_ADJUSTED if adjusted else LARGEST_TAIL_ERROR
        return check_skewness(*arms, confidence=self.confidence, tolerance=tolerance)

    def estimate(
        self,
        reading: str,
        treatment: str,
        *,
        control: str = CONTROL,
        method: Method,
        confidence: float | None = None,
        plus: float = 0.0,
    ) -> Estimate:
        """Mean of the reading in one arm less that in another, per unit.

        Interval and p-value hold over all looks (see `LookRule`).

        plus  an exactly known amount that every unit of the treatment has more
        """
        wanted = self.confidence if confidence is None else confidence
        level = self.rule.confidence(wanted)
        if method == "skewness corrected" and reading in self.thirds:
            more, base = (self._shaped(reading, arm) for arm in (treatment, control))
            found = common_shape(more.plus(plus), base, confidence=level)
        else:
            found = self.alone(reading, treatment, control, method=method, confidence=level)
            found = found if plus == 0 else shifted(found, plus)
        found = self.rule.holding(found, wanted=wanted)
        test = f"{reading} by {treatment}" + ("" if control == CONTROL else f" over {control}")
        p_value = self.rule.p_value(found.p_value, test=test, gain=found.effect > 0)
        return replace(found, p_value=p_value)

    def alone(
        self, reading: str, treatment: str, control: str, *, method: Method, confidence: float
    ) -> Estimate:
        """The estimate as if this were the only reading."""
        arms = (self.moments[treatment], self.moments[control])
        level = confidence
        if method == "quantile":
            of_arm = self.quantiles[reading]
            return quantile_difference(of_arm[treatment], of_arm[control], confidence=level)
        if method == "by customer" and self.customers is not None:
            base = self.bases.get(reading, N_UNITS)
            first, second = (
                (in_arm(reading, arm), in_arm(base, arm)) for arm in (treatment, control)
            )
            return crossed(self.customers, treatment=first, control=second, confidence=level)
        if method in ("by cluster, adjusted", "ratio, adjusted"):
            return adjusted_ratio(
                *arms,
                numerator=reading,
                denominator=self.bases.get(reading, N_UNITS),
                covariates=self.covariates[reading],
                population=self.population,
                confidence=level,
            )
        if method in ("by cluster", "ratio"):
            base = self.bases.get(reading, N_UNITS)
            if self.strata:
                strata, units = self._strata_of(treatment, control)
                return poststratified_ratio(
                    strata, numerator=reading, denominator=base, population=units, confidence=level
                )
            return ratio(*arms, numerator=reading, denominator=base, confidence=level)
        if method == "post-stratified":
            strata, units = self._strata_of(treatment, control)
            return poststratified(
                strata,
                column=reading,
                covariates=self.covariates.get(reading, ()),
                population=units,
                confidence=level,
            )
        if method == "score":
            return equal_tailed_score(*arms, column=reading, confidence=level)
        if method in ("Welch", "skewness corrected"):
            return welch(*arms, column=reading, confidence=level)
        return lin(
            *arms,
            column=reading,
            covariates=self.covariates[reading],
            population=self.population,
            confidence=level,
        )

    def _ratio_method(self, reading: str) -> Method:
        """With covariates where there are enough of what was randomised, and no strata."""
        enough = min(cell.count for cell in self.moments.values()) >= SMALL_ARM
        adjusted = bool(self.covariates.get(reading)) and enough and not self.strata
        if self.clustered:
            return "by cluster, adjusted" if adjusted else "by cluster"
        return "ratio, adjusted" if adjusted else "ratio"

    def _shaped(self, reading: str, arm: str) -> SkewedArm:
        return SkewedArm.of(self.moments[arm], reading, third=self.thirds[reading][arm])

    def _strata_of(
        self, treatment: str, control: str
    ) -> tuple[list[tuple[Moments, Moments]], list[float]]:
        """Both arms' moments in every stratum that has both, and its units in all arms."""
        both = [by for by in self.strata.values() if treatment in by and control in by]
        units = [sum(cell.count for cell in by.values()) for by in both]
        return [(by[treatment], by[control]) for by in both], units


def _rare(arm: Moments, reading: str) -> bool:
    events = arm.mean_of(reading) * arm.count
    return min(events, arm.count - events) < RARE_EVENTS
