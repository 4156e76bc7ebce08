"""Return per customer: effect, cost, margin and profit of every arm, adding up to the campaign.

Each row also carries the doubly robust score of the arm's profit. A single score is noise; the mean
of scores over all customers is the campaign's effect, and over any filter the segment's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.economics import Economics
from uplift.errors import DataError
from uplift.evaluation.evidence import Evidence, checked_effects, gather
from uplift.evaluation.ledger import in_cents
from uplift.evaluation.scoring_rules import apply_rules, fit_rules
from uplift.inference.doubly_robust import average
from uplift.suite import Candidate, Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ArmTotal:
    """What an arm brings over control when every one of n units gets it, in currency.

    effect  of the value outcome, summed;  profit = margin - contact_cost - redemption_cost
    roi     profit / (contact_cost + redemption_cost); NaN when there is no cost
    """

    arm: str
    n_units: int
    effect: float
    margin: float
    contact_cost: float
    redemption_cost: float
    profit: float
    std_error: float
    ci: tuple[float, float]
    roi: float

    @property
    def cost(self) -> float:
        """Contacts and redemptions together."""
        return self.contact_cost + self.redemption_cost

    @property
    def ledger(self) -> dict[str, float]:
        """The lines in whole cents, adding up exactly: margin - contacts - redemptions = profit."""
        margin, contact, redemption = in_cents(
            [self.margin, -self.contact_cost, -self.redemption_cost]
        )
        return {
            "margin": margin,
            "contact_cost": -contact,
            "redemption_cost": -redemption,
            "profit": round(margin + contact + redemption, 2),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Roi(Result):
    """Return of every unit and arm under one candidate.

    customers  one row per unit and treatment arm: unit, arm, effect, effect_low, effect_high, cost,
               margin, profit, roi, dr_score, observed_arm; in currency. Where clusters were
               randomised also cluster, their number, so that sums of scores have an honest error
    totals     what each arm brings when everyone gets it

    `effect` is calibrated; its mean is the doubly robust effect. `effect_low` and `effect_high` are
    the interval of the AVERAGE effect among customers with a like prediction, not of one customer.
    """

    experiment: str
    candidate: str
    outcome: str
    currency: str
    arms: tuple[str, ...]
    n_units: int
    confidence: float
    economics: Economics
    totals: tuple[ArmTotal, ...]
    checks: tuple[Check, ...]
    customers: pd.DataFrame = field(repr=False)
    rules: Mapping[str, Any] = field(repr=False)
    evidence: Evidence = field(repr=False)

    def total(self, arm: str) -> ArmTotal:
        """What one arm brings when everyone gets it."""
        return self._of(self.totals, arm)

    def segment(self, units: Collection[str], arm: str) -> ArmTotal:
        """What one arm brings when the units of a segment get it, from their scores alone."""
        chosen = pd.Index(self.evidence.units).isin(list(units))
        if not chosen.any():
            raise DataError(
                "No unit of the segment is in the trial, so its return is not estimable.",
                code="SEGMENT_NOT_ESTIMABLE",
            )
        return self._of(_totals(self.evidence, chosen, self.confidence), arm)

    def scoring_rules(self) -> dict[str, Any]:
        """How new customers are scored: plain JSON for `apply_rules`."""
        return dict(self.rules)

    def to_pandas(self) -> pd.DataFrame:
        """The customer table."""
        return self.customers.copy(deep=False)

    def table(self) -> Table:
        """Totals per arm, in whole cents."""
        columns = (
            Column("send to everyone"),
            Column("margin", kind="cents"),
            Column("contacts", kind="cents"),
            Column("redemptions", kind="cents"),
            Column("profit", kind="cents"),
            Column("profit ci", kind="interval"),
            Column("return on cost", kind="number"),
        )
        rows = [(t.arm, *t.ledger.values(), t.ci, t.roi) for t in self.totals]
        note = (
            f"{self.currency} over control for {self.n_units:,} customers; "
            f"{self.confidence:.0%} intervals."
        )
        return Table(f"Incremental profit by arm ({self.candidate})", columns, rows, note=note)

    def metrics(self) -> dict[str, float]:
        """Flat numbers by name, for tracking; what does not exist is left out."""
        found: dict[str, float] = {}
        for total in self.totals:
            found[f"profit_total.{total.arm}"] = total.profit
            found[f"profit_low.{total.arm}"] = total.ci[0]
            found[f"profit_high.{total.arm}"] = total.ci[1]
            found[f"cost_total.{total.arm}"] = total.cost
            found[f"roi.{total.arm}"] = total.roi
        return {name: value for name, value in found.items() if np.isfinite(value)}

    @staticmethod
    def _of(totals: tuple[ArmTotal, ...], arm: str) -> ArmTotal:
        for total in totals:
            if total.arm == arm:
                return total
        raise DataError(
            f"There is no treatment arm {arm!r}; there are {', '.join(t.arm for t in totals)}.",
            code="ARM_UNKNOWN",
        )


def roi(
    candidate: Candidate,
    trial: Trial,
    economics: Economics | None = None,
    *,
    suite: Suite | None = None,
    confidence: float = 0.95,
) -> Roi:
    """Return per customer and arm under a candidate of a suite.

    profit = margin_rate * effect - contact cost - redemption cost * redemption rate

    The redemption rate is the doubly robust rate among customers with a like prediction, so it
    includes those who would have bought anyway. Rows are in the suite's order of units, arms
    within unit.

    economics  the trial's own when None
    suite      the candidate's own when None

    Raises DataError: ECONOMICS_MISSING, UNIT_MISMATCH, OUTCOME_MISMATCH and those of `evaluate`.
    """
    suite = suite or candidate.suite
    if suite is None:
        raise DataError(
            f"candidate {candidate.name!r} belongs to no suite, so there are no scores to judge it "
            "by. Take it from a suite, or give the suite.",
            code="SUITE_MISSING",
        )
    economics = _checked(economics, trial, suite)
    evidence = gather(suite, trial, economics)
    effects = checked_effects(candidate, n_units=evidence.n_units, arms=suite.arms)
    rules = fit_rules(candidate, effects, evidence, confidence=confidence)
    everyone = np.ones(evidence.n_units, dtype=bool)
    totals = _totals(evidence, everyone, confidence)
    return Roi(
        experiment=trial.experiment,
        candidate=candidate.name,
        outcome=suite.outcome,
        currency=economics.currency,
        arms=suite.arms,
        n_units=evidence.n_units,
        confidence=confidence,
        economics=economics,
        totals=totals,
        checks=(*trial.notices, *suite.notices, *_free(totals)),
        customers=_customers(effects, rules, evidence),
        rules=rules,
        evidence=evidence,
    )


def _checked(economics: Economics | None, trial: Trial, suite: Suite) -> Economics:
    own = trial.economics
    given = economics or own
    if given is None:
        raise DataError(
            "Return needs worth and costs, and neither the trial nor the call has them. Give the "
            "experiment's money block, or economics=Economics(...).",
            code="ECONOMICS_MISSING",
        )
    if own is not None and own.currency != given.currency:
        raise DataError(
            f"The trial counts in {own.currency}, the economics in {given.currency}. "
            "Convert one of them.",
            code="UNIT_MISMATCH",
        )
    if suite.outcome != given.value_outcome:
        raise DataError(
            f"Return needs effects on {given.value_outcome!r}; the suite models {suite.outcome!r}. "
            f"Train with outcome={given.value_outcome!r}.",
            code="OUTCOME_MISMATCH",
        )
    return given


def _customers(effects: Array, rules: Mapping[str, Any], evidence: Evidence) -> pd.DataFrame:
    advice = apply_rules(effects, rules)
    n_treatments = len(evidence.arms) - 1
    names = np.array(evidence.arms, dtype=object)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(advice.cost != 0, advice.profit / advice.cost, np.nan)
    clusters = {} if evidence.cluster is None else {"cluster": evidence.cluster}
    return pd.DataFrame(
        {
            "unit": np.repeat(evidence.units, n_treatments),
            "arm": np.tile(names[1:], evidence.n_units),
            "effect": advice.effect.ravel(),
            "effect_low": advice.effect_low.ravel(),
            "effect_high": advice.effect_high.ravel(),
            "cost": advice.cost.ravel(),
            "margin": advice.margin.ravel(),
            "profit": advice.profit.ravel(),
            "roi": ratio.ravel(),
            "dr_score": (evidence.worth[:, 1:] - evidence.worth[:, :1]).ravel(),
            "observed_arm": np.repeat(names[evidence.arm], n_treatments),
            **{name: np.repeat(codes, n_treatments) for name, codes in clusters.items()},
        }
    ).astype({"unit": "str", "arm": "str", "observed_arm": "str"})


def _totals(evidence: Evidence, chosen: BoolArray, confidence: float) -> tuple[ArmTotal, ...]:
    rows = np.flatnonzero(chosen)
    return tuple(_arm_total(evidence, rows, k, confidence) for k in range(1, len(evidence.arms)))


def _arm_total(
    evidence: Evidence, rows: npt.NDArray[np.int64], k: int, confidence: float
) -> ArmTotal:
    weight = None if evidence.weight is None else evidence.weight[rows]
    cluster = None if evidence.cluster is None else evidence.cluster[rows]
    size = float(len(rows) if weight is None else weight.sum())

    def summed(values: Array) -> float:
        return float(values.sum() if weight is None else weight @ values)

    gain = evidence.worth[rows, k] - evidence.worth[rows, 0]
    mean = average(gain, weight=weight, cluster=cluster, confidence=confidence)
    effect = summed(evidence.scores[rows, k - 1])
    margin = effect * (evidence.economics.margin_rate if evidence.economics else 1.0)
    contact = size * _contact_cost(evidence, k)
    cost = summed(evidence.cost[rows, k] - evidence.cost[rows, 0])
    profit = summed(gain)
    return ArmTotal(
        arm=evidence.arms[k],
        n_units=len(rows),
        effect=effect,
        margin=margin,
        contact_cost=contact,
        redemption_cost=cost - contact if evidence.redemption is not None else 0.0,
        profit=profit,
        std_error=size * mean.std_error,
        ci=(size * mean.ci[0], size * mean.ci[1]),
        roi=profit / cost if cost != 0 else float("nan"),
    )


def _contact_cost(evidence: Evidence, k: int) -> float:
    if evidence.economics is None:
        return 0.0
    costs = evidence.economics.contact_costs(evidence.arms)
    return float(costs[k] - costs[0])


def _free(totals: tuple[ArmTotal, ...]) -> tuple[Check, ...]:
    """A notice when no arm costs anything: then everyone with a positive effect is worth it."""
    if any(total.cost != 0 for total in totals):
        return ()
    return (
        warning(
            "COST_ZERO",
            value=0.0,
            remedy="No arm costs anything, so return on cost does not exist and every customer "
            "with a positive effect is worth a contact. Give the costs if there are any.",
        ),
    )
