"""What a candidate's policy is worth without a feature: the feature shuffled among customers.

The policy keeps its rules and its models; only what it sees of one feature is another customer's.
Customers are scored by models that did not learn from them, so a feature without information costs
about nothing. Scored by models that did, noise would look precious: those models know these very
customers by it.
Source: Fisher, Rudin & Dominici (2019), JMLR 20(177), for shuffled features; the value is the
doubly robust one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError
from uplift.evaluation.evidence import Evidence, gather
from uplift.evaluation.policy import policy_value, policy_worth
from uplift.evaluation.scoring_rules import apply_rules, fit_rules
from uplift.inference.doubly_robust import average
from uplift.models.learners import EffectModel
from uplift.models.refitting import fold_models
from uplift.suite import Candidate, Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Loss:
    """What a policy loses per customer when a feature is shuffled; its unit is the worth's.

    changed_share  of customers who get another arm
    """

    feature: str
    value: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    changed_share: float


@dataclass(frozen=True, repr=False)
class Importance(Result):
    """Features by what the policy of a candidate loses without them, largest first.

    unit          of the worth: profit in currency, or the outcome
    policy_value  of the policy that sees everything, per customer
    """

    candidate: str
    unit: str
    policy_value: float
    policy_std_error: float
    n_repeats: int
    losses: tuple[Loss, ...]

    def table(self) -> Table:
        """A row per feature."""
        columns = [
            Column("feature"),
            Column("lost per customer", kind="signed"),
            Column("std error", kind="number"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
            Column("other arm", kind="share"),
        ]
        rows = [
            (x.feature, x.value, x.std_error, x.ci, x.p_value, x.changed_share) for x in self.losses
        ]
        note = (
            f"{self.unit} per customer that the policy of {self.candidate} loses when one feature "
            f"is shuffled ({self.n_repeats} times), out of fold. Features that say the same stand "
            "in for each other, and each then loses little."
        )
        return Table("What the policy loses without a feature", columns, rows, note=note)


def policy_importance(
    suite: Suite,
    trial: Trial,
    candidate: str | None = None,
    *,
    features: Sequence[str] | None = None,
    n_repeats: int = 5,
    seed: int = 0,
    confidence: float = 0.95,
) -> Importance:
    """Drop of the doubly robust policy value when a feature is shuffled, with its error.

        loss_i = worth_i(arm given) - mean over repeats of worth_i(arm given without the feature)

    candidate  name; None takes the best. Its models are made again by fold, and its policy is the
               one the evaluation judges: calibrated profit by rules of the other folds
    features   names; None takes all inputs

    Refused: CANDIDATE_UNKNOWN, FEATURE_MISSING, MODEL_NOT_STORED, and what `gather` refuses.
    """
    chosen = suite.best if candidate is None else _candidate(suite, candidate)
    order = pd.Index(suite.units).get_indexer(pd.Index(trial.units))
    fold = suite.fold[order].astype(np.int64)
    models = fold_models(chosen.model, trial, outcome=suite.outcome, fold=fold)
    return importance_of(
        models,
        chosen,
        gather(suite, trial),
        trial.features.iloc[np.argsort(order)].reset_index(drop=True),
        names=_names(models[0], features),
        n_repeats=n_repeats,
        seed=seed,
        confidence=confidence,
    )


def importance_of(
    models: Sequence[EffectModel],
    candidate: Candidate,
    evidence: Evidence,
    frame: pd.DataFrame,
    *,
    names: Sequence[str],
    n_repeats: int,
    seed: int,
    confidence: float = 0.95,
) -> Importance:
    """The same with models already made, one per fold; `frame` is in the order of the evidence."""
    parts = [np.flatnonzero(evidence.fold == f) for f in range(len(models))]
    whole = _effects(models, frame, parts)
    rules = [
        fit_rules(candidate, whole, evidence, rows=np.flatnonzero(evidence.fold != f))
        for f in range(len(models))
    ]

    def policy(effects: Array) -> IntArray:
        choice = np.zeros(len(effects), dtype=np.int64)
        for part, rule in zip(parts, rules, strict=True):
            choice[part] = apply_rules(effects[part], rule).recommended
        return choice

    given = policy(whole)
    worth = policy_worth(given, evidence)
    losses = []
    for j, name in enumerate(names):
        lost, changed = np.zeros(len(worth)), 0.0
        for repeat in range(n_repeats):
            shuffled = _shuffled(frame, name, parts, seed=[seed, j, repeat])
            other = policy(_effects(models, shuffled, parts))
            lost += (worth - policy_worth(other, evidence)) / n_repeats
            changed += float((other != given).mean()) / n_repeats
        mean = average(
            lost, weight=evidence.weight, cluster=evidence.cluster, confidence=confidence
        )
        losses.append(Loss(name, mean.value, mean.std_error, mean.ci, mean.p_value, changed))
    total = policy_value(given, evidence, confidence=confidence)
    return Importance(
        candidate=candidate.name,
        unit=evidence.unit,
        policy_value=total.value,
        policy_std_error=total.std_error,
        n_repeats=n_repeats,
        losses=tuple(sorted(losses, key=lambda loss: -loss.value)),
    )


def _effects(
    models: Sequence[EffectModel], frame: pd.DataFrame, parts: Sequence[IntArray]
) -> Array:
    effects = np.empty((len(frame), models[0].n_arms_ - 1))
    for model, part in zip(models, parts, strict=True):
        effects[part] = model.predict(frame.iloc[part])
    return effects


def _shuffled(
    frame: pd.DataFrame, name: str, parts: Sequence[IntArray], *, seed: Sequence[int]
) -> pd.DataFrame:
    """The table with one column shuffled among the customers of each fold."""
    rng = np.random.default_rng(seed)
    place = np.arange(len(frame))
    for part in parts:
        place[part] = rng.permutation(part)
    return frame.assign(**{name: frame[name].to_numpy()[place]}).astype({name: frame[name].dtype})


def _candidate(suite: Suite, name: str) -> Candidate:
    if name not in suite.candidates:
        raise DataError(
            f"There is no candidate {name!r}. Choose one of {', '.join(suite.candidates)}.",
            code="CANDIDATE_UNKNOWN",
        )
    return suite.candidates[name]


def _names(model: EffectModel, names: Sequence[str] | None) -> tuple[str, ...]:
    known = model.encoder_.names
    for name in names or ():
        if name not in known:
            raise DataError(
                f"There is no feature {name!r} in the model. Choose among {', '.join(known)}.",
                code="FEATURE_MISSING",
                column=name,
            )
    return tuple(names) if names is not None else known
