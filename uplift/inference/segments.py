"""Effects by segment, honestly: the best of ten segments is not as good as it looks.

Each segment's interval is so wide that all of them hold together; whether segments differ at all is
tested first; and the shrunken effects say what to expect of a segment next time. A segment in which
an arm is missing has a row with its units and the reason, and no number.
Source: Šidák (1967), JASA 62(318), for the intervals; Armstrong et al. (2022), Econometrica 90(6),
for those of the shrunken effects.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.inference.heterogeneity import Heterogeneity, heterogeneity
from uplift.inference.means import Estimate
from uplift.inference.moments import Moments
from uplift.inference.shrinkage import shrink
from uplift.table import Column, Result, Table

NOT_ESTIMABLE = "SEGMENT_NOT_ESTIMABLE"
TOO_LITTLE = {"ARM_TOO_SMALL", "RATIO_UNDEFINED"}  # of one segment, not of the whole reading
MANY_SEGMENTS = 2_000  # from here on an interval is twice as wide as that of one segment
NO_INTERVAL = (float("nan"), float("nan"))


class Estimator(Protocol):
    """How the effect in one segment is estimated, e.g. `welch` of a column."""

    def __call__(self, treatment: Moments, control: Moments, *, confidence: float) -> Estimate:
        """The effect with its interval at this confidence."""


@dataclass(frozen=True, kw_only=True)
class SegmentEffect:
    """One segment.

    ci                simultaneous: all segments' intervals cover together
    p_value           of no effect in this segment, as if it were the only one
    adjusted_p_value  of the family of all segments (Šidák): at most 5 % is proven when `ci` says so
    shrunken          the effect drawn towards the mean of the segments; nan below two segments
    shrunken_ci       covers on average over the segments, not all of them together
    reason            why there is no number; empty when there is
    """

    segment: str
    n_control: int
    n_treatment: int
    effect: float = float("nan")
    std_error: float = float("nan")
    df: float = float("nan")
    ci: tuple[float, float] = NO_INTERVAL
    p_value: float = float("nan")
    adjusted_p_value: float = float("nan")
    shrunken: float = float("nan")
    shrunken_ci: tuple[float, float] = NO_INTERVAL
    reason: str = ""

    @property
    def estimable(self) -> bool:
        """Whether there is a number."""
        return not self.reason


@dataclass(frozen=True, repr=False)
class SegmentEffects(Result):
    """Every segment that was asked for, in the order given.

    confidence     with which all intervals `ci` hold together
    each           confidence of one such interval
    heterogeneity  whether the segments differ; None below two segments with a number
    """

    segments: tuple[SegmentEffect, ...]
    confidence: float
    each: float
    heterogeneity: Heterogeneity | None
    checks: tuple[Check, ...] = ()

    def segment(self, name: str) -> SegmentEffect:
        """One segment by its name."""
        for one in self.segments:
            if one.segment == name:
                return one
        raise DataError(f"There is no segment {name!r}.", code="SEGMENT_UNKNOWN")

    @property
    def differ(self) -> bool:
        """Whether it is proven that the effect is not the same everywhere."""
        return self.heterogeneity is not None and bool(
            self.heterogeneity.p_value < 1 - self.confidence
        )

    def table(self) -> Table:
        """One row per segment."""
        columns = (
            Column("segment"),
            Column("control", kind="count"),
            Column("treatment", kind="count"),
            Column("effect", kind="signed"),
            Column("ci of all", kind="interval"),
            Column("p value", kind="p_value"),
            Column("expected again", kind="signed"),
            Column("ci on average", kind="interval"),
            Column("no number because"),
        )
        rows = [
            (
                one.segment,
                one.n_control,
                one.n_treatment,
                one.effect,
                one.ci,
                one.adjusted_p_value,
                one.shrunken,
                one.shrunken_ci,
                one.reason,
            )
            for one in self.segments
        ]
        return Table("Effect by segment", columns, rows, note=self._note())

    def _note(self) -> str:
        if self.heterogeneity is None:
            return ""
        verdict = "differ" if self.differ else "are not proven to differ"
        return f"The segments {verdict} (p = {self.heterogeneity.p_value:.4f})."


def simultaneous_confidence(n: int, confidence: float = 0.95) -> float:
    """Confidence of each of `n` independent intervals that hold together with `confidence`.

    confidence^(1 / n), which is exact for independent segments
    """
    if not (0 < confidence < 1 and n >= 1):
        raise DefinitionError(
            f"confidence must be between 0 and 1 and there must be a segment, got {confidence} "
            f"and {n}.",
            code="PROBABILITY_INVALID",
        )
    return float(confidence ** (1 / n))


def segment_effects(
    treatment: Mapping[str, Moments],
    control: Mapping[str, Moments],
    *,
    estimator: Estimator,
    confidence: float = 0.95,
) -> SegmentEffects:
    """The effect in each segment of units that are in one segment only.

    The segments must be known before assignment, be disjoint, and be estimated each from its own
    units (an adjustment by covariates moves to the means of the segment).

    treatment, control  moments per segment; a segment that an arm does not have got no unit there
    estimator           called once per segment, at the confidence of the simultaneous interval
    """
    names = list(dict.fromkeys([*treatment, *control]))
    if not names:
        raise DataError("There is no segment to read. Name one.", code="EMPTY_INPUT")
    counts = {name: (_count(control, name), _count(treatment, name)) for name in names}
    n_tests = max(sum(min(pair) >= 2 for pair in counts.values()), 1)
    each = simultaneous_confidence(n_tests, confidence)
    rows = []
    for name in names:
        estimate, reason = None, _too_small(counts[name])
        if not reason:
            estimate, reason = _estimated(estimator, treatment[name], control[name], each)
        rows.append(_row(name, counts[name], estimate, reason, n_tests))
    rows, found = _with_shrunken(rows, confidence)
    checks = (_many(len(names)),) if len(names) >= MANY_SEGMENTS else ()
    return SegmentEffects(tuple(rows), confidence, each, found, checks)


def _count(arm: Mapping[str, Moments], name: str) -> int:
    return int(arm[name].count) if name in arm else 0


def _too_small(counts: tuple[int, int]) -> str:
    for arm, count in zip(("control", "treatment"), counts, strict=True):
        if count == 0 and sum(counts) > 0:
            return f"no unit in the {arm}"
    if sum(counts) == 0:
        return "no unit"
    return "an arm has one unit only" if min(counts) < 2 else ""


def _estimated(
    estimator: Estimator, treatment: Moments, control: Moments, confidence: float
) -> tuple[Estimate | None, str]:
    try:
        estimate = estimator(treatment, control, confidence=confidence)
    except DataError as refused:
        if refused.code not in TOO_LITTLE:
            raise
        return None, "too few units for this estimator"
    if np.isnan(estimate.ci[0]):
        return None, "no unit differs from another"
    return estimate, ""


def _row(
    name: str, counts: tuple[int, int], estimate: Estimate | None, reason: str, n_tests: int
) -> SegmentEffect:
    if estimate is None:
        return SegmentEffect(
            segment=name, n_control=counts[0], n_treatment=counts[1], reason=reason
        )
    return SegmentEffect(
        segment=name,
        n_control=round(estimate.n_control),
        n_treatment=round(estimate.n_treatment),
        effect=estimate.effect,
        std_error=estimate.std_error,
        df=estimate.df,
        ci=estimate.ci,
        p_value=estimate.p_value,
        adjusted_p_value=_sidak(estimate.p_value, n_tests),
    )


def _sidak(p_value: float, n_tests: int) -> float:
    """1 - (1 - p)^n, without losing the digits of a small p."""
    return 1.0 if p_value >= 1 else -math.expm1(n_tests * math.log1p(-p_value))


def _with_shrunken(
    rows: list[SegmentEffect], confidence: float
) -> tuple[list[SegmentEffect], Heterogeneity | None]:
    known = [i for i, row in enumerate(rows) if row.std_error > 0]
    if len(known) < 2:
        return rows, None
    effects = [rows[i].effect for i in known]
    errors, df = [rows[i].std_error for i in known], [rows[i].df for i in known]
    found = shrink(effects, errors, df=df, confidence=confidence)
    for i, effect, (low, high) in zip(known, found.effects, found.ci, strict=True):
        rows[i] = replace(rows[i], shrunken=float(effect), shrunken_ci=(float(low), float(high)))
    return rows, heterogeneity(effects, errors, df=df)


def _many(n_segments: int) -> Check:
    return warning(
        "SEGMENTS_MANY",
        value=n_segments,
        remedy="So many intervals that hold together are more than twice as wide as one. Ask about "
        "the segments a decision depends on.",
    )
