"""What a trial says about a suite's candidates: worth per unit and arm, joined by id.

The one place of this room where suite and trial meet; everything after it works on aligned arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.economics import Economics
from uplift.errors import DataError
from uplift.suite import Candidate, Suite, effect_scores
from uplift.trial import Trial

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Aligned arrays of one trial, in the order of the suite's units.

    scores      (n_units, n_arms - 1)  doubly robust effects on the suite's outcome
    worth       (n_units, n_arms)      doubly robust worth under each arm: profit in currency when
                                       the suite models the value outcome, else the outcome itself
    cost        (n_units, n_arms)      doubly robust cost under each arm, in currency
    redemption  (n_units, n_arms)      doubly robust redemptions under each arm; None without them
    arm         (n_units,)             arm received
    economics   None when worth is not money
    """

    outcome: str
    arms: tuple[str, ...]
    units: npt.NDArray[np.object_]
    fold: IntArray
    arm: IntArray
    scores: Array
    worth: Array
    cost: Array
    redemption: Array | None
    weight: Array | None
    cluster: IntArray | None
    economics: Economics | None

    @property
    def n_units(self) -> int:
        """How many units."""
        return len(self.units)

    @property
    def unit(self) -> str:
        """What worth is measured in, per customer."""
        return f"{self.economics.currency} profit" if self.economics else self.outcome

    @property
    def folds(self) -> IntArray:
        """The fold numbers that occur."""
        return np.unique(self.fold)


def gather(suite: Suite, trial: Trial, economics: Economics | None = None) -> Evidence:
    """Join a suite's scores with its trial by unit id.

    economics  what worth is made of; the trial's own when None. Effects on another outcome than
               the value outcome stay in that outcome's unit.
    """
    rows = _rows_of(suite, trial)
    economics = economics or trial.economics
    money = economics if economics and economics.value_outcome == suite.outcome else None
    dr = suite.dr_outcomes
    if money:
        _check_economics(money, suite)
    base = dr[suite.outcome]
    redemption = dr[money.redemption_outcome] if money and money.redemption_outcome else None
    codes = None if trial.cluster is None else trial.cluster[rows]
    return Evidence(
        outcome=suite.outcome,
        arms=suite.arms,
        units=suite.units,
        fold=suite.fold.astype(np.int64),
        arm=trial.arm[rows],
        scores=effect_scores(base),
        worth=money.profit(dr, suite.arms) if money else base,
        cost=_cost(money, redemption, suite),
        redemption=redemption,
        weight=None if trial.weight is None else trial.weight[rows],
        cluster=None if codes is None else np.unique(codes, return_inverse=True)[1],
        economics=money,
    )


def checked_effects(candidate: Candidate, *, n_units: int, arms: Sequence[str]) -> Array:
    """A candidate's effects, or why they cannot be judged: their shape, or values not finite."""
    effects = np.asarray(candidate.effects, dtype=np.float64)
    if effects.shape != (n_units, len(arms) - 1):
        raise DataError(
            f"candidate {candidate.name!r}: effects must have one row per unit and one column per "
            f"treatment, {(n_units, len(arms) - 1)}; got {effects.shape}.",
            code="LENGTH_MISMATCH",
        )
    wrong = np.flatnonzero(~np.isfinite(effects).all(axis=1))
    if len(wrong):
        raise DataError(
            f"candidate {candidate.name!r}: effects must be finite; {len(wrong)} unit(s) are not, "
            f"first in row {wrong[0] + 1}. Repair the model's output or leave the candidate out.",
            code="SCORE_NOT_FINITE",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    return effects


def _rows_of(suite: Suite, trial: Trial) -> IntArray:
    if suite.arms != trial.arms:
        raise DataError(
            f"The suite has arms {suite.arms}, the trial {trial.arms}. "
            "Evaluate a suite with the trial it was trained on.",
            code="ARM_UNKNOWN",
        )
    if len(suite.units) != trial.n_units:
        raise DataError(
            f"The suite has {len(suite.units)} units, the trial {trial.n_units}. "
            "Evaluate a suite with the trial it was trained on.",
            code="LENGTH_MISMATCH",
        )
    for name, values in suite.dr_outcomes.items():
        if values.shape != (len(suite.units), len(suite.arms)):
            raise DataError(
                f"The suite's scores of {name!r} must have one row per unit and one column per "
                f"arm, {(len(suite.units), len(suite.arms))}; got {values.shape}.",
                code="LENGTH_MISMATCH",
            )
    rows = pd.Index(trial.units).get_indexer(pd.Index(suite.units))
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise DataError(
            f"{len(unknown)} unit(s) of the suite are not in the trial, first that of row "
            f"{unknown[0] + 1}. Evaluate a suite with the trial it was trained on.",
            code="ID_UNKNOWN",
            column="unit",
            count=len(unknown),
            rows=[int(row) + 1 for row in unknown[:5]],
        )
    return np.asarray(rows, dtype=np.int64)


def _check_economics(economics: Economics, suite: Suite) -> None:
    for name in economics.outcomes:
        if name not in suite.dr_outcomes:
            raise DataError(
                f"Profit needs scores of {name!r}; the suite has {', '.join(suite.dr_outcomes)}. "
                "Train with a trial that carries these economics.",
                code="COLUMN_MISSING",
                column=name,
            )
    for arm in (*economics.contact_cost, *economics.redemption_cost):
        if arm not in suite.arms:
            raise DataError(
                f"The economics name a cost for arm {arm!r}; the arms are {', '.join(suite.arms)}.",
                code="ARM_UNKNOWN",
            )


def _cost(money: Economics | None, redemption: Array | None, suite: Suite) -> Array:
    cost = np.zeros((len(suite.units), len(suite.arms)))
    if money:
        cost += money.contact_costs(suite.arms)
    if money and redemption is not None:
        cost += money.redemption_costs(suite.arms) * redemption
    return cost
