"""Policies: who gets which arm, what that is worth, and which policy is worth choosing.

A policy's value is the mean doubly robust worth of the arm it gives each unit; the difference of
two policies is a mean over the same units, so what they share cancels. Whatever a policy learns
(depth, best arm, calibration) it learns on other folds than the one it is applied to.
Source: Athey & Wager (2021), "Policy Learning with Observational Data", Econometrica 89(1).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uplift.evaluation.curves import weighted_mean, within_folds
from uplift.evaluation.evidence import Evidence
from uplift.evaluation.scoring_rules import apply_rules, fit_rules
from uplift.inference.doubly_robust import Average, average
from uplift.suite import Candidate

DEPTHS = np.linspace(0, 1, 21)  # shares a ranking may treat: every 5 %
LEVELS = {  # from simple to complex: a more complex policy must prove that it is worth more
    "nobody": 0,
    "everyone": 1,
    "constant": 1,
    "random": 2,
    "rule": 3,
    "response": 4,
    "learner": 5,
}
NEVER_CHOSEN = frozenset({"random", "constant"})  # a lottery; and the blanket arms under a name

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Policy:
    """An arm for every unit.

    kind       key of LEVELS
    candidate  whose effects it uses, or the candidate that acts alike in production
    choice     (n_units,) column of the arm given, 0 is control
    """

    name: str
    kind: str
    candidate: str
    choice: IntArray = field(repr=False)

    @property
    def level(self) -> int:
        """How complex: 0 is nobody."""
        return LEVELS[self.kind]


@dataclass(frozen=True)
class PolicyRow:
    """What a policy is worth, per customer of all.

    share_contacted  of units that get a treatment
    cost             in currency, of contacts and redemptions together; 0 when worth is no money
    value            in currency (profit) or in the unit of the outcome
    """

    policy: str
    kind: str
    candidate: str
    share_contacted: float
    cost: float
    value: float
    std_error: float
    ci: tuple[float, float]


@dataclass(frozen=True)
class Gain:
    """What a policy is worth more than a simpler one, per customer of all, from paired scores.

    verdict  better · worse · tie (the interval holds 0)
    """

    policy: str
    over: str
    value: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    verdict: str


def all_policies(
    candidates: Sequence[Candidate], effects: Mapping[str, Array], evidence: Evidence
) -> tuple[Policy, ...]:
    """Nobody, everyone with each arm, and one policy per candidate, from simple to complex."""
    n_units = evidence.n_units
    policies = [Policy("nobody", "nobody", "constant", np.zeros(n_units, dtype=np.int64))]
    policies += [
        Policy(f"everyone:{arm}", "everyone", "constant", np.full(n_units, k, dtype=np.int64))
        for k, arm in enumerate(evidence.arms[1:], start=1)
    ]
    policies += [
        _policy_of(candidate, effects[candidate.name], evidence) for candidate in candidates
    ]
    return tuple(sorted(policies, key=lambda policy: policy.level))


def policy_worth(choice: IntArray, evidence: Evidence) -> Array:
    """Doubly robust worth of each unit under the arm given, (n_units,)."""
    return np.asarray(evidence.worth[np.arange(len(choice)), choice])


def policy_value(choice: IntArray, evidence: Evidence, *, confidence: float = 0.95) -> Average:
    """Mean worth per customer had every unit got the arm given, for any assignment of arms."""
    return _average(policy_worth(choice, evidence), evidence, confidence)


def policy_gain(
    choice: IntArray, over: IntArray, evidence: Evidence, *, confidence: float = 0.95
) -> Average:
    """Mean worth of one policy less that of another, paired by unit."""
    difference = policy_worth(choice, evidence) - policy_worth(over, evidence)
    return _average(difference, evidence, confidence)


def policy_rows(
    policies: Sequence[Policy], evidence: Evidence, *, confidence: float
) -> tuple[PolicyRow, ...]:
    """Value, interval, share contacted and cost of every policy."""
    rows = []
    for policy in policies:
        contacted = (policy.choice > 0).astype(np.float64)
        mean = policy_value(policy.choice, evidence, confidence=confidence)
        cost = evidence.cost[np.arange(evidence.n_units), policy.choice]
        rows.append(
            PolicyRow(
                policy=policy.name,
                kind=policy.kind,
                candidate=policy.candidate,
                share_contacted=weighted_mean(contacted, evidence.weight),
                cost=weighted_mean(cost, evidence.weight),
                value=mean.value,
                std_error=mean.std_error,
                ci=mean.ci,
            )
        )
    return tuple(rows)


def gain_rows(
    policies: Sequence[Policy], evidence: Evidence, *, confidence: float
) -> tuple[Gain, ...]:
    """The gain of every policy over each simpler one."""
    worth = {policy.name: policy_worth(policy.choice, evidence) for policy in policies}
    return tuple(
        _gain(policy.name, simple.name, worth, evidence, confidence)
        for policy in policies
        for simple in policies
        if simple.level < policy.level
    )


def recommend(
    policies: Sequence[Policy],
    evidence: Evidence,
    *,
    proven: Collection[str],
    confidence: float,
) -> Policy:
    """The simplest policy that no more complex one provably beats.

    From nobody on, level by level: switch to the best policy of a level when the lower bound of its
    gain over the current choice is above 0 (Bonferroni over all policies that may be chosen). A
    learner must also be among the `proven` rankings.
    """
    current = policies[0]
    open_to_choice = [p for p in policies[1:] if p.kind not in NEVER_CHOSEN]
    adjusted = 1 - (1 - confidence) / max(len(open_to_choice), 1)
    for level in sorted({policy.level for policy in policies} - {current.level}):
        rivals = [p for p in open_to_choice if p.level == level]
        gains = {
            p: policy_gain(p.choice, current.choice, evidence, confidence=adjusted)
            for p in rivals
            if p.kind != "learner" or p.candidate in proven
        }
        better = [p for p in gains if gains[p].ci[0] > 0]
        if better:
            current = max(better, key=lambda p: gains[p].value)
    return current


def _policy_of(candidate: Candidate, effects: Array, evidence: Evidence) -> Policy:
    kind = candidate.name if candidate.kind == "baseline" else "learner"
    kind = kind if kind in LEVELS else "response"
    by_effect = candidate.predicts == "effect" and kind in ("learner", "constant")
    choose = _by_profit if by_effect else _by_depth
    return Policy(candidate.name, kind, candidate.name, choose(candidate, effects, evidence))


def _by_profit(candidate: Candidate, effects: Array, evidence: Evidence) -> IntArray:
    """The arm with the highest calibrated profit, by rules learned on the other folds."""
    choice = np.zeros(evidence.n_units, dtype=np.int64)
    for number in evidence.folds:
        here, others = _split(evidence, int(number))
        rules = fit_rules(candidate, effects, evidence, rows=others)
        choice[here] = apply_rules(effects[here], rules).recommended
    return choice


def _by_depth(candidate: Candidate, effects: Array, evidence: Evidence) -> IntArray:
    """The best blanket arm for the top share; arm and share are learned on the other folds."""
    del candidate  # a ranking needs no calibration
    place = np.column_stack(
        [within_folds(effects[:, k], evidence.fold) for k in range(effects.shape[1])]
    )
    choice = np.zeros(evidence.n_units, dtype=np.int64)
    for number in evidence.folds:
        here, others = _split(evidence, int(number))
        extra = evidence.worth[others, 1:] - evidence.worth[others, :1]
        weight = None if evidence.weight is None else evidence.weight[others]
        means = [weighted_mean(extra[:, k], weight) for k in range(extra.shape[1])]
        k = int(np.argmax(means))
        bar = 1 - _best_depth(place[others, k], extra[:, k], weight)
        choice[here] = np.where(place[here, k] > bar, k + 1, 0)
    return choice


def _best_depth(place: Array, extra: Array, weight: Array | None) -> float:
    """The share whose top units bring most in total; the smallest on a tie."""
    value = extra if weight is None else weight * extra
    totals = [float(value[place > 1 - depth].sum()) for depth in DEPTHS]
    return float(DEPTHS[int(np.argmax(totals))])


def _split(evidence: Evidence, fold: int) -> tuple[IntArray, IntArray]:
    return np.flatnonzero(evidence.fold == fold), np.flatnonzero(evidence.fold != fold)


def _average(values: Array, evidence: Evidence, confidence: float) -> Average:
    return average(values, weight=evidence.weight, cluster=evidence.cluster, confidence=confidence)


def _gain(
    name: str, over: str, worth: Mapping[str, Array], evidence: Evidence, confidence: float
) -> Gain:
    mean = _average(worth[name] - worth[over], evidence, confidence)
    verdict = "better" if mean.ci[0] > 0 else "worse" if mean.ci[1] < 0 else "tie"
    return Gain(name, over, mean.value, mean.std_error, mean.ci, mean.p_value, verdict)
