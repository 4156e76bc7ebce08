"""Rankings of all candidates, judged alike: areas, intervals, and whether each is proven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.evaluation.curves import (
    Curve,
    Decile,
    Ranking,
    autoc_weights,
    deciles,
    gain_curve,
    qini_weights,
    rank_units,
    uplift_at,
    weighted_mean,
    within_folds,
)
from uplift.evaluation.evidence import Evidence
from uplift.evaluation.heterogeneity import no_ranking_p_value
from uplift.evaluation.resampling import Spread, half_sample_errors
from uplift.inference.multiplicity import holm
from uplift.suite import Candidate

Array = npt.NDArray[np.float64]
Key = tuple[str, str]  # candidate, arm


@dataclass(frozen=True)
class RankingRow:
    """How well a candidate ranks customers by the effect of one arm.

    qini, autoc   unit of the outcome per customer; 0 when the ranking says nothing
    qini_ci       half-sample bootstrap, widened for the dependence between folds
    p_value       one-sided, of "the ranking says nothing", from the Qini area; NaN: no ranking
    p_adjusted    Holm, over the learners (or the baselines) of this arm
    uplift_at_10, uplift_at_30  mean effect of the top 10 and 30 %
    verdict       proven · not proven · no ranking
    """

    candidate: str
    kind: str
    arm: str
    qini: float
    qini_ci: tuple[float, float]
    autoc: float
    autoc_ci: tuple[float, float]
    p_value: float
    p_adjusted: float
    uplift_at_10: float
    uplift_at_30: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Rankings:
    """Rows in the order of candidates and arms, with the curve and deciles of each."""

    rows: tuple[RankingRow, ...]
    curves: Mapping[Key, Curve]
    deciles: Mapping[Key, tuple[Decile, ...]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How rankings are judged.

    dependence  factor of variance from cross-fitting, see `fold_dependence`
    """

    dependence: float
    n_bootstrap: int = 200
    confidence: float = 0.95
    seed: int = 0

    @property
    def z(self) -> float:
        """Standard errors on each side of an interval, widened for the dependence of folds."""
        return float(stats.norm.ppf(0.5 + self.confidence / 2) * np.sqrt(self.dependence))


@dataclass(frozen=True, eq=False)
class _Ranked:
    """One candidate's ranking for one arm, with the scores that judge it."""

    candidate: Candidate
    arm: str
    predicted: Array
    scores: Array
    ranking: Ranking

    @property
    def key(self) -> Key:
        return self.candidate.name, self.arm


def judge_rankings(
    candidates: Sequence[Candidate],
    effects: Mapping[str, Array],
    evidence: Evidence,
    settings: Settings,
) -> Rankings:
    """Areas, intervals and verdicts of every candidate for every treatment.

    effects  by candidate, (n_units, n_arms - 1) out-of-fold
    """
    ranked = [
        _rank(candidate, effects[candidate.name][:, k], evidence, k)
        for candidate in candidates
        for k in range(len(evidence.arms) - 1)
    ]
    spreads = half_sample_errors(
        {one.key: (one.ranking, one.scores) for one in ranked},
        weight=evidence.weight,
        cluster=evidence.cluster,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
    )
    p_values = {one.key: _p_value(one, evidence, settings) for one in ranked}
    adjusted = _adjusted(ranked, p_values)
    rows = [
        _row(one, spreads[one.key], (p_values[one.key], adjusted[one.key]), evidence, settings)
        for one in ranked
    ]
    curves = {one.key: _curve(one, spreads[one.key], evidence, settings) for one in ranked}
    parts = {one.key: _deciles(one, evidence, settings) for one in ranked}
    return Rankings(tuple(rows), curves, parts)


def _rank(candidate: Candidate, predicted: Array, evidence: Evidence, k: int) -> _Ranked:
    ranking = rank_units(within_folds(predicted, evidence.fold))
    return _Ranked(candidate, evidence.arms[k + 1], predicted, evidence.scores[:, k], ranking)


def _p_value(one: _Ranked, evidence: Evidence, settings: Settings) -> float:
    return no_ranking_p_value(
        one.scores,
        qini_weights(one.ranking, evidence.weight),
        fold=evidence.fold,
        dependence=settings.dependence,
        weight=evidence.weight,
        cluster=evidence.cluster,
    )


def _adjusted(ranked: Sequence[_Ranked], p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm within each arm, learners and baselines apart; what ranks nothing is not tested."""
    families: dict[tuple[str, str], list[Key]] = {}
    for one in ranked:
        if np.isfinite(p_values[one.key]):
            families.setdefault((one.arm, one.candidate.kind), []).append(one.key)
    adjusted = dict(p_values)
    for family in families.values():
        values = holm([p_values[key] for key in family])
        adjusted |= dict(zip(family, values.tolist(), strict=True))
    return adjusted


def _row(
    one: _Ranked,
    spread: Spread,
    p_values: tuple[float, float],
    evidence: Evidence,
    settings: Settings,
) -> RankingRow:
    weight, z = evidence.weight, settings.z
    area = weighted_mean(qini_weights(one.ranking, weight) * one.scores, weight)
    top_area = weighted_mean(autoc_weights(one.ranking, weight) * one.scores, weight)
    p_value, p_adjusted = p_values
    verdict = "proven" if p_adjusted < 1 - settings.confidence else "not proven"
    return RankingRow(
        candidate=one.candidate.name,
        kind=one.candidate.kind,
        arm=one.arm,
        qini=area,
        qini_ci=(area - z * spread.qini, area + z * spread.qini),
        autoc=top_area,
        autoc_ci=(top_area - z * spread.autoc, top_area + z * spread.autoc),
        p_value=p_value,
        p_adjusted=p_adjusted,
        uplift_at_10=uplift_at(one.scores, one.ranking, share=0.1, weight=weight),
        uplift_at_30=uplift_at(one.scores, one.ranking, share=0.3, weight=weight),
        verdict=verdict if np.isfinite(p_value) else "no ranking",
    )


def _curve(one: _Ranked, spread: Spread, evidence: Evidence, settings: Settings) -> Curve:
    return gain_curve(
        one.scores, one.ranking, weight=evidence.weight, std_errors=spread.gain, z=settings.z
    )


def _deciles(one: _Ranked, evidence: Evidence, settings: Settings) -> tuple[Decile, ...]:
    return deciles(
        one.scores,
        one.ranking,
        one.predicted,
        weight=evidence.weight,
        cluster=evidence.cluster,
        confidence=settings.confidence,
    )
