"""A suite: candidates trained on one shared cross-fit, and the scores that judge them.

The hinge between models, evaluation, contact planning and tracking: whatever is said about a model
later is said with these out-of-fold effects and these scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from uplift.checks import Check
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Model(Protocol):
    """A fitted model of effects per arm."""

    def predict(self, X: Any) -> Array:
        """Effect of each treatment against control, (n_units, n_arms - 1), unit of the outcome."""
        ...


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to rank and treat customers.

    effects         (n_units, n_arms - 1)  out-of-fold: no unit helped to make its own number
    model           fitted on all units, for new customers
    kind            "learner" or "baseline"
    predicts        "effect", or "ranking" when only the order means something (e.g. response)
    loss            mean squared distance of `effects` to the doubly robust scores, less that of a
                    constant effect; negative is better than constant; None for a ranking
    loss_std_error  of the same
    seconds         of its fits; None when it comes from files, which hold no times
    suite           the suite it belongs to, whose scores judge it
    """

    name: str
    kind: str
    predicts: str
    effects: Array
    model: Model
    loss: float | None = None
    loss_std_error: float | None = None
    seconds: float | None = None
    suite: "Suite | None" = field(default=None, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Suite(Result):
    """Candidates of one trial and the scores they share.

    outcome      the outcome the candidates model
    arms         names, control first
    features     names of the model inputs, in order
    units        (n_units,)          the trial's ids, in the trial's order
    fold         (n_units,)          fold that left the unit out
    predicted    by outcome, (n_units, n_arms)  out-of-fold mean outcome per arm
    dr_outcomes  by outcome, (n_units, n_arms)  doubly robust outcome per arm
    notices      warnings of the training, shown with every result
    preferred    what the training chose; empty when nothing was
    """

    outcome: str
    arms: tuple[str, ...]
    features: tuple[str, ...]
    units: npt.NDArray[np.object_] = field(repr=False)
    fold: IntArray = field(repr=False)
    predicted: Mapping[str, Array] = field(repr=False)
    dr_outcomes: Mapping[str, Array] = field(repr=False)
    candidates: Mapping[str, Candidate] = field(repr=False)
    seed: int = 0
    notices: tuple[Check, ...] = ()
    preferred: str = ""

    def __post_init__(self) -> None:
        own = {name: replace(one, suite=self) for name, one in self.candidates.items()}
        object.__setattr__(self, "candidates", own)

    @property
    def scores(self) -> Array:
        """Doubly robust effect of each treatment, (n_units, n_arms - 1), unit of the outcome."""
        return effect_scores(self.dr_outcomes[self.outcome])

    @property
    def best(self) -> Candidate:
        """What the training chose: the simplest learner about as good as the best, or the constant.

        Without a choice, the learner with the lowest loss that beats a constant effect by a
        standard error; the constant effect when none does.
        """
        if self.preferred in self.candidates:
            return self.candidates[self.preferred]
        best, lowest = self.candidates["constant"], 0.0
        for candidate in self.candidates.values():
            if candidate.kind != "learner" or candidate.loss is None:
                continue
            proven = candidate.loss + (candidate.loss_std_error or 0.0) < 0
            if proven and candidate.loss < lowest:
                best, lowest = candidate, candidate.loss
        return best

    def table(self) -> Table:
        """Candidates with their loss against a constant effect."""
        columns = [
            Column("candidate"),
            Column("kind"),
            Column("loss vs constant", kind="signed"),
            Column("std error", kind="number"),
            Column("seconds", kind="number"),
        ]
        rows: list[tuple[str | float | None, ...]] = [
            (c.name, c.kind, c.loss, c.loss_std_error, c.seconds) for c in self.candidates.values()
        ]
        if all(candidate.seconds is None for candidate in self.candidates.values()):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        note = (
            f"Outcome {self.outcome}; best: {self.best.name}. Loss is the squared distance to the "
            "doubly robust scores, out of fold; below 0 is better than one effect for everyone."
        )
        return Table("Candidates on one shared cross-fit", columns, rows, note=note)


def effect_scores(dr_outcomes: Array) -> Array:
    """Doubly robust outcomes as effects against control.

    dr_outcomes  (n_units, n_arms)
    returns      (n_units, n_arms - 1), same unit
    """
    return dr_outcomes[:, 1:] - dr_outcomes[:, [0]]
