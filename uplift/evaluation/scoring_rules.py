"""Scoring rules: from a model's raw effects to calibrated effect, cost, profit and advice per arm.

Fitted once on out-of-fold effects and scores, stored as plain JSON with the model, and applied by
this one function everywhere: to the trial's own customers (ROI), to left-out folds (policy value)
and to new customers (scoring). So all of them agree to the last bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.evaluation.calibration import slope_of
from uplift.evaluation.curves import weighted_mean
from uplift.evaluation.evidence import Evidence
from uplift.inference.doubly_robust import average
from uplift.suite import Candidate

FORMAT = 1  # of the stored rules; a reader refuses any other
MAX_BLOCKS = 20  # groups of like prediction per arm
MIN_BLOCK = 500  # units; smaller groups have intervals too wide to read

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rules = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Advice:
    """What rules say about units, each (n_units, n_arms - 1) but `recommended`.

    effect                   calibrated, unit of the outcome
    effect_low, effect_high  interval of the average effect among customers with a like prediction
    cost                     expected, in currency, contact and redemption together
    margin, profit           in currency; profit = margin - cost
    recommended              (n_units,)  arm with the highest profit, 0 (control) when none is > 0
    """

    effect: Array
    effect_low: Array
    effect_high: Array
    cost: Array
    margin: Array
    profit: Array
    recommended: IntArray


def fit_rules(
    candidate: Candidate,
    effects: Array,
    evidence: Evidence,
    *,
    rows: IntArray | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Learn the rules of a candidate from some units of a trial. Plain JSON values.

        effect = mean_effect + slope * (raw - mean_prediction)

    mean_effect  the arm's doubly robust effect, so the calibrated effects average to it exactly
    slope        of scores on effects, in [0, 1]: differences are shrunk, never stretched; a ranking
                 has no unit, so its slope may be any number >= 0
    rows         units to learn from; all when None
    """
    chosen = np.arange(evidence.n_units) if rows is None else rows
    money = evidence.economics
    return {
        "format": FORMAT,
        "candidate": candidate.name,
        "outcome": evidence.outcome,
        "currency": money.currency if money else None,
        "margin_rate": float(money.margin_rate) if money else 1.0,
        "confidence": confidence,
        "arms": list(evidence.arms),
        "by_arm": {
            arm: _arm_rules(candidate, effects, evidence, chosen, k, confidence)
            for k, arm in enumerate(evidence.arms[1:])
        },
    }


def apply_rules(effects: Array, rules: Rules) -> Advice:
    """Apply rules to raw effects of any units.

    effects  (n_units, n_arms - 1) raw predictions of the candidate's model, arms as in the rules
    """
    if rules.get("format") != FORMAT:
        raise DataError(
            f"Scoring rules have format {rules.get('format')!r}; this version reads {FORMAT}. "
            "Use the version of uplift that wrote them.",
            code="RULES_FORMAT",
        )
    raw = np.asarray(effects, dtype=np.float64)
    arms = list(rules["arms"])[1:]
    if raw.ndim != 2 or raw.shape[1] != len(arms):
        raise DataError(
            f"Effects must have one column per treatment ({', '.join(arms)}), got shape "
            f"{raw.shape}.",
            code="LENGTH_MISMATCH",
        )
    wrong = np.flatnonzero(~np.isfinite(raw).all(axis=1))
    if len(wrong):
        raise DataError(
            f"Effects must be finite; {len(wrong)} unit(s) are not, first in row {wrong[0] + 1}. "
            "Repair the model's input.",
            code="SCORE_NOT_FINITE",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    columns = [_apply_arm(raw[:, k], rules["by_arm"][arm]) for k, arm in enumerate(arms)]
    effect, low, high, cost = (np.column_stack(parts) for parts in zip(*columns, strict=True))
    margin = rules["margin_rate"] * effect
    profit = margin - cost
    best = profit.argmax(axis=1)
    positive = profit[np.arange(len(profit)), best] > 0
    return Advice(effect, low, high, cost, margin, profit, np.where(positive, best + 1, 0))


def _arm_rules(
    candidate: Candidate,
    effects: Array,
    evidence: Evidence,
    rows: IntArray,
    k: int,
    confidence: float,
) -> dict[str, Any]:
    raw, scores = effects[rows, k], evidence.scores[rows, k]
    weight = None if evidence.weight is None else evidence.weight[rows]
    fitted = slope_of(scores[:, None], raw[:, None], fold=evidence.fold[rows], weight=weight).value
    highest = 1.0 if candidate.predicts == "effect" else np.inf
    arm: dict[str, Any] = {
        "mean_effect": weighted_mean(scores, weight),
        "mean_prediction": weighted_mean(raw, weight),
        "slope": float(np.clip(fitted, 0.0, highest)) if np.isfinite(fitted) else 0.0,
    }
    effect = _calibrated(raw, arm)
    arm["edges"] = _block_edges(effect)
    block = np.searchsorted(np.array(arm["edges"]), effect, side="right")
    return (
        arm
        | _effect_of_blocks(scores, block, evidence, rows, confidence)
        | _cost_of_blocks(block, evidence, rows, k + 1)
    )


def _apply_arm(raw: Array, arm: Rules) -> tuple[Array, Array, Array, Array]:
    effect = _calibrated(raw, arm)
    block = np.searchsorted(np.array(arm["edges"], dtype=np.float64), effect, side="right")
    low, high, cost = (np.array(arm[name], dtype=np.float64) for name in ("low", "high", "cost"))
    return effect, low[block], high[block], cost[block]


def _calibrated(raw: Array, arm: Rules) -> Array:
    return np.asarray(arm["mean_effect"] + arm["slope"] * (raw - arm["mean_prediction"]))


def _block_edges(effect: Array) -> list[float]:
    """Borders between groups of like prediction, at quantiles; fewer where predictions repeat."""
    n_blocks = min(MAX_BLOCKS, max(len(effect) // MIN_BLOCK, 1))
    if np.ptp(effect) == 0 or n_blocks == 1:
        return []
    edges = np.unique(np.quantile(effect, np.linspace(0, 1, n_blocks + 1)[1:-1]))
    block = np.searchsorted(edges, effect, side="right")
    size = np.bincount(block, minlength=len(edges) + 1)
    kept: list[float] = []
    waiting = 0
    for edge, units in zip(edges, size[:-1], strict=True):
        waiting += int(units)
        if waiting >= len(effect) // (2 * n_blocks):
            kept.append(float(edge))
            waiting = 0
    if kept and waiting + int(size[-1]) < len(effect) // (2 * n_blocks):
        kept.pop()
    return kept


def _effect_of_blocks(
    scores: Array, block: IntArray, evidence: Evidence, rows: IntArray, confidence: float
) -> dict[str, Any]:
    low, high, size = [], [], []
    for number in range(int(block.max()) + 1):
        unit = np.flatnonzero(block == number)
        mean = average(
            scores[unit],
            weight=None if evidence.weight is None else evidence.weight[rows[unit]],
            cluster=None if evidence.cluster is None else evidence.cluster[rows[unit]],
            confidence=confidence,
        )
        low.append(mean.ci[0])
        high.append(mean.ci[1])
        size.append(len(unit))
    return {"low": low, "high": high, "n_units": size}


def _cost_of_blocks(
    block: IntArray, evidence: Evidence, rows: IntArray, arm: int
) -> dict[str, Any]:
    """Expected cost of the arm over control per block: contact, and redemptions at their rate."""
    money = evidence.economics
    n_blocks = int(block.max()) + 1
    if money is None:
        return {"contact_cost": 0.0, "redemption_rate": [0.0] * n_blocks, "cost": [0.0] * n_blocks}
    contact = money.contact_costs(evidence.arms)
    extra = float(contact[arm] - contact[0])
    rate, cost = np.zeros(n_blocks), np.full(n_blocks, extra)
    if evidence.redemption is not None:
        per_redemption = money.redemption_costs(evidence.arms)
        weight = np.ones(len(rows)) if evidence.weight is None else evidence.weight[rows]
        rate = _block_rates(evidence.redemption[rows, arm], block, weight)
        cost = cost + per_redemption[arm] * rate
        if per_redemption[0]:
            cost = cost - per_redemption[0] * _block_rates(
                evidence.redemption[rows, 0], block, weight
            )
    return {"contact_cost": extra, "redemption_rate": rate.tolist(), "cost": cost.tolist()}


def _block_rates(redemption: Array, block: IntArray, weight: Array) -> Array:
    """Redemptions per unit and block, none below 0, with the overall mean kept."""
    mass = np.bincount(block, weights=weight)
    overall = max(float(weight @ redemption / weight.sum()), 0.0)
    rate = np.maximum(np.bincount(block, weights=weight * redemption) / mass, 0.0)
    mean = float(mass @ rate / mass.sum())
    return np.asarray(rate * (overall / mean) if mean > 0 else rate)
