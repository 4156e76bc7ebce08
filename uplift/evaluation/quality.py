"""Is targeting proven? Rankings, calibration and policy values of a suite, with one recommendation.

The answer is simple until a more complex policy proves that it is worth more: nobody, everyone with
one arm, a rule, a response model, a learner. Not proven is a normal answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.evaluation.calibration import Calibration, slope_of
from uplift.evaluation.curves import Curve, Decile
from uplift.evaluation.evidence import Evidence, checked_effects, gather
from uplift.evaluation.gates import candidate_gates
from uplift.evaluation.heterogeneity import fold_dependence
from uplift.evaluation.policy import (
    Gain,
    PolicyRow,
    all_policies,
    gain_rows,
    policy_rows,
    recommend,
)
from uplift.evaluation.rankings import RankingRow, Rankings, Settings, judge_rankings
from uplift.suite import Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

ALL_ARMS = "all arms"

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Quality(Result):
    """What a trial proves about a suite's candidates.

    unit            what a policy is worth in, per customer: "<currency> profit" or the outcome
    recommended     name of the policy to use; `recommended_candidate` is what acts like it
    curves          by (candidate, arm): the gain curve with its band
    deciles         by (candidate, arm): promised and measured effect by tenth of the ranking
    choices         by policy, (n_units,): column of the arm it gives, in the suite's order of units
    """

    experiment: str
    outcome: str
    unit: str
    arms: tuple[str, ...]
    n_units: int
    n_folds: int
    confidence: float
    rankings: tuple[RankingRow, ...]
    calibrations: tuple[Calibration, ...]
    policies: tuple[PolicyRow, ...]
    gains: tuple[Gain, ...]
    recommended: str
    checks: tuple[Check, ...] = ()
    curves: Mapping[tuple[str, str], Curve] = field(default_factory=dict, repr=False)
    deciles: Mapping[tuple[str, str], tuple[Decile, ...]] = field(default_factory=dict, repr=False)
    choices: Mapping[str, IntArray] = field(default_factory=dict, repr=False)

    @property
    def recommended_policy(self) -> PolicyRow:
        """The row of the recommended policy."""
        return self.policy(self.recommended)

    @property
    def recommended_candidate(self) -> str:
        """The candidate that acts like the recommended policy; "constant" for a blanket arm."""
        return self.recommended_policy.candidate

    @property
    def targeting(self) -> str:
        """`proven` when a learner's policy is recommended, else `not proven`."""
        return "proven" if self.recommended_policy.kind == "learner" else "not proven"

    def policy(self, name: str) -> PolicyRow:
        """The row of one policy."""
        for row in self.policies:
            if row.policy == name:
                return row
        raise DataError(
            f"There is no policy {name!r}; there are {', '.join(p.policy for p in self.policies)}.",
            code="POLICY_UNKNOWN",
        )

    def ranking(self, candidate: str, arm: str) -> RankingRow:
        """The row of one candidate's ranking for one arm."""
        for row in self.rankings:
            if (row.candidate, row.arm) == (candidate, arm):
                return row
        raise DataError(
            f"There is no ranking of candidate {candidate!r} for arm {arm!r}.",
            code="CANDIDATE_UNKNOWN",
        )

    def ranking_verdict(self, arm: str) -> str:
        """`proven` when any learner's ranking for this arm is proven, else `not proven`."""
        proven = any(
            row.verdict == "proven" and row.kind == "learner" and row.arm == arm
            for row in self.rankings
        )
        return "proven" if proven else "not proven"

    def gates(self, candidate: str | None = None) -> tuple[Check, ...]:
        """What must hold before a candidate is promoted; the recommended one when not named."""
        return candidate_gates(
            candidate or self.recommended_candidate,
            policies=self.policies,
            gains=self.gains,
            calibrations=[row for row in self.calibrations if row.arm == ALL_ARMS],
            rankings=self.rankings,
            confidence=self.confidence,
        )

    def table(self) -> Table:
        """Policies with the verdict; `rankings_table()` has the rankings."""
        return self.policies_table()

    def policies_table(self) -> Table:
        """Value of every policy and its gain over nobody."""
        over_nobody = {gain.policy: gain for gain in self.gains if gain.over == "nobody"}
        columns = (
            Column("policy"),
            Column("contacted", kind="share"),
            Column("cost", kind="number"),
            Column("value", kind="signed"),
            Column("value ci", kind="interval"),
            Column("gain over nobody", kind="signed"),
            Column("gain ci", kind="interval"),
            Column("recommended"),
        )
        rows = []
        for row in self.policies:
            gain = over_nobody.get(row.policy)
            shown = (gain.value, gain.ci) if gain else (None, None)
            mark = "<--" if row.policy == self.recommended else ""
            rows.append(
                (row.policy, row.share_contacted, row.cost, row.value, row.ci, *shown, mark)
            )
        note = (
            f"{self.unit} per customer, {self.confidence:.0%} intervals. "
            f"Recommended: {self.recommended}; targeting {self.targeting}."
        )
        return Table("What each policy is worth", columns, rows, note=note)

    def gains_table(self) -> Table:
        """The gain of every policy over each simpler one."""
        columns = (
            Column("policy"),
            Column("over"),
            Column("gain", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
            Column("verdict"),
        )
        rows = [(g.policy, g.over, g.value, g.ci, g.p_value, g.verdict) for g in self.gains]
        return Table(f"Gain over simpler policies, {self.unit} per customer", columns, rows)

    def rankings_table(self) -> Table:
        """Qini and AUTOC of every candidate and arm, with verdicts."""
        columns = (
            Column("candidate"),
            Column("arm"),
            Column("Qini", kind="signed"),
            Column("Qini ci", kind="interval"),
            Column("AUTOC", kind="signed"),
            Column("AUTOC ci", kind="interval"),
            Column("p adjusted", kind="p_value"),
            Column("ranking"),
        )
        rows = [
            (r.candidate, r.arm, r.qini, r.qini_ci, r.autoc, r.autoc_ci, r.p_adjusted, r.verdict)
            for r in self.rankings
        ]
        note = (
            f"Qini as (1/n) sum (i/n) TOC(i/n), AUTOC as (1/n) sum TOC(i/n), in {self.outcome} per "
            "customer; intervals and p values allow for the dependence between folds."
        )
        return Table("Does the ranking find the effect?", columns, rows, note=note)

    def calibration_table(self) -> Table:
        """Slope of measured on promised differences, per candidate and arm."""
        columns = (
            Column("candidate"),
            Column("arm"),
            Column("slope", kind="number"),
            Column("ci", kind="interval"),
        )
        rows = [(c.candidate, c.arm, c.slope, c.ci) for c in self.calibrations]
        note = "1: differences between customers are as promised; 0: they say nothing."
        return Table("Calibration", columns, rows, note=note)

    def metrics(self) -> dict[str, float]:
        """Flat numbers by name, for tracking; what does not exist is left out."""
        found = {
            "n_units": float(self.n_units),
            "targeting_proven": float(self.targeting == "proven"),
        }
        for row in self.rankings:
            name = f"{row.candidate}.{row.arm}"
            found |= {f"qini.{name}": row.qini, f"autoc.{name}": row.autoc}
            found[f"ranking_p.{name}"] = row.p_adjusted
        for policy in self.policies:
            name = policy.policy.replace(":", ".")
            found |= {f"policy_value.{name}": policy.value, f"policy_cost.{name}": policy.cost}
            found[f"policy_share.{name}"] = policy.share_contacted
        for gain in self.gains:
            if gain.over == "nobody":
                found[f"gain_over_nobody.{gain.policy.replace(':', '.')}"] = gain.value
        for slope in self.calibrations:
            if slope.arm == ALL_ARMS:
                found[f"calibration_slope.{slope.candidate}"] = slope.slope
        return {name: value for name, value in found.items() if np.isfinite(value)}


def evaluate(
    suite: Suite,
    trial: Trial,
    *,
    seed: int = 0,
    n_bootstrap: int = 200,
    confidence: float = 0.95,
) -> Quality:
    """Judge every candidate of a suite by the doubly robust scores of its trial.

    Units are joined by id. Policies are valued as profit when the suite models the value outcome of
    the trial's economics, else in the unit of the outcome.

    Raises DataError: EVAL_OVERLAP (effects are not out of fold), LENGTH_MISMATCH, ID_UNKNOWN,
    SCORE_NOT_FINITE, COLUMN_MISSING.
    """
    evidence = gather(suite, trial)
    n_folds = len(evidence.folds)
    if n_folds < 2:
        raise DataError(
            "The suite has one fold, so its effects were learned from the units they would be "
            "judged on. Use the suite of `train`, or `evaluate_model` with other units.",
            code="EVAL_OVERLAP",
        )
    settings = Settings(
        dependence=fold_dependence(n_folds),
        n_bootstrap=n_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    return judge(suite, trial, evidence, settings)


def judge(suite: Suite, trial: Trial, evidence: Evidence, settings: Settings) -> Quality:
    """The steps of `evaluate` on evidence that was joined before."""
    candidates = list(suite.candidates.values())
    effects = {
        c.name: checked_effects(c, n_units=evidence.n_units, arms=suite.arms) for c in candidates
    }
    rankings = judge_rankings(candidates, effects, evidence, settings)
    policies = all_policies(candidates, effects, evidence)
    proven = {r.candidate for r in rankings.rows if r.verdict == "proven"}
    chosen = recommend(policies, evidence, proven=proven, confidence=settings.confidence)
    return Quality(
        experiment=trial.experiment,
        outcome=suite.outcome,
        unit=evidence.unit,
        arms=suite.arms,
        n_units=evidence.n_units,
        n_folds=len(evidence.folds),
        confidence=settings.confidence,
        rankings=rankings.rows,
        calibrations=_calibrations(suite, effects, evidence, settings),
        policies=policy_rows(policies, evidence, confidence=settings.confidence),
        gains=gain_rows(policies, evidence, confidence=settings.confidence),
        recommended=chosen.name,
        checks=(*trial.notices, *suite.notices, *_tied(rankings)),
        curves=rankings.curves,
        deciles=rankings.deciles,
        choices={policy.name: policy.choice for policy in policies},
    )


def _calibrations(
    suite: Suite, effects: Mapping[str, Array], evidence: Evidence, settings: Settings
) -> tuple[Calibration, ...]:
    rows = []
    for candidate in suite.candidates.values():
        if candidate.predicts != "effect":
            continue
        columns = {arm: [k] for k, arm in enumerate(suite.arms[1:])}
        columns[ALL_ARMS] = list(range(len(suite.arms) - 1))
        for arm, chosen in columns.items():
            slope = slope_of(
                evidence.scores[:, chosen],
                effects[candidate.name][:, chosen],
                fold=evidence.fold,
                weight=evidence.weight,
                cluster=evidence.cluster,
                dependence=settings.dependence,
                confidence=settings.confidence,
            )
            rows.append(
                Calibration(
                    candidate.name, arm, slope.value, slope.std_error, slope.ci, slope.p_value
                )
            )
    return tuple(rows)


def _tied(rankings: Rankings) -> tuple[Check, ...]:
    """A notice for every candidate that was meant to rank and gives all units one score."""
    return tuple(
        warning(
            "SCORE_TIED",
            value=f"{row.candidate} for {row.arm}",
            remedy="All units have the same score, so Qini and AUTOC are 0: there is no ranking.",
        )
        for row in rankings.rows
        if row.verdict == "no ranking" and row.candidate != "constant"
    )
