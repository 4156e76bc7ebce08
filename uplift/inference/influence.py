"""How much of an effect hangs on a few customers?

An effect that ten of fifty thousand customers carry may be right and is not a reason to roll out.
Two questions are asked: what is left without the largest customers of both arms, and how few
customers, chosen to hurt, would be enough to turn the result. Neither is a better estimate of the
effect: customers are left out by their outcome.
Source: Broderick, Giordano & Meager (2020), "An Automatic Finite-Sample Robustness Metric", for the
second question, which is answered here exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift.checks import Check
from uplift.errors import DataError
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments, two_sum
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]

N_CUSTOMERS = 10
ROUNDING = 1e-12  # of a sum of squares: what subtraction leaves below it is nothing


@dataclass(frozen=True, eq=False)
class Extremes:
    """The ends of one arm's outcomes: its k largest and k smallest values.

    largest   (k,)  falling
    smallest  (k,)  rising; units are in both when the arm has fewer than 2 k
    n_units   of the arm
    """

    largest: Array
    smallest: Array
    n_units: int

    @classmethod
    def of(cls, values: Sequence[float] | Array, k: int = N_CUSTOMERS) -> "Extremes":
        """From all outcomes of an arm."""
        rising = np.sort(np.asarray(values, dtype=np.float64))
        return cls(largest=rising[::-1][:k], smallest=rising[:k], n_units=len(rising))

    @property
    def both_ends(self) -> Array:
        """The values at both ends, each unit once."""
        others = max(self.n_units - len(self.largest), 0)
        return np.concatenate([self.largest, self.smallest[:others]])


@dataclass(frozen=True, repr=False)
class Influence(Result):
    """An effect with and without a few customers.

    n_left_out      customers of both arms that hold the largest magnitudes
    without         the effect without them
    carried         share of the effect that they carry: 1 - without / effect; above 1, they turn
                    its sign; nan for an effect of 0
    worst           the effect without those `n_left_out` customers that hold it up most
    turned_by       the fewest customers whose absence turns the effect's sign; None when more
                    than `n_left_out` are needed
    undone_by       the fewest of those that leave it not proven; None when more are needed, or
                    when it is not proven to begin with
    proven          with all customers
    survives        proven, on the same side, without the largest
    """

    effect: Estimate
    n_left_out: int
    without: Estimate
    carried: float
    worst: Estimate
    turned_by: int | None
    undone_by: int | None
    proven: bool
    survives: bool

    @property
    def statement(self) -> str:
        """The worst case in words."""
        if not self.proven:
            return "The effect is not proven with all customers."
        if self.undone_by is None:
            return f"No {self.n_left_out} customers, however chosen, carry the proof."
        turned = "" if self.turned_by is None else f"; {self.turned_by} turn its sign"
        return f"Without {self.undone_by} customer(s) the effect is not proven{turned}."

    def check(self) -> Check:
        """A warning when the result does not survive the loss of its largest customers."""
        survives = not self.proven or self.survives
        return Check(
            "influence",
            passed=survives,
            value=self.carried,
            bound=self.n_left_out,
            remedy=f"Without the {self.n_left_out} largest customers of both arms the effect is "
            f"{self.without.effect:.4g} and not proven. Read it beside a capped metric.",
            code="INFLUENCE",
            blocking=False,
        )

    def table(self) -> Table:
        """The effect, what is left without the largest, and the worst case."""
        columns = (
            Column("customers"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (name, one.effect, one.ci, one.p_value)
            for name, one in (
                ("all", self.effect),
                (f"without the {self.n_left_out} largest", self.without),
                (f"without the {self.n_left_out} that hold it up", self.worst),
            )
        ]
        return Table("Influence of a few customers", columns, rows, note=self.statement)


def influence(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    treatment_ends: Extremes,
    control_ends: Extremes,
    confidence: float = 0.95,
    k: int = N_CUSTOMERS,
) -> Influence:
    """What k customers do to the effect on a mean.

    The worst case is exact: whatever the split of k between the arms, the units that hold up a gain
    most are the largest of the treatment and the smallest of the control, so k + 1 splits are
    compared.
    """
    k = min(k, int(treatment.count) - 2, int(control.count) - 2)
    if k < 1:
        raise DataError(
            "Leaving customers out needs arms of at least 3; read a larger group.",
            code="ARM_TOO_SMALL",
            column=column,
        )
    whole = welch(treatment, control, column=column, confidence=confidence)
    top_t, top_c = _largest_of_both(treatment_ends, control_ends, k)

    def without(from_treatment: Array, from_control: Array) -> Estimate:
        return welch(
            leave_out(treatment, from_treatment, column=column),
            leave_out(control, from_control, column=column),
            column=column,
            confidence=confidence,
        )

    gain = whole.effect > 0
    worst = [
        without(*_worst_units(treatment, control, column, (treatment_ends, control_ends), n, gain))
        for n in range(1, k + 1)
    ]
    left, alpha = without(top_t, top_c), 1 - confidence
    proven = whole.p_value < alpha
    return Influence(
        effect=whole,
        n_left_out=k,
        without=left,
        carried=1 - left.effect / whole.effect if whole.effect else float("nan"),
        worst=worst[-1],
        turned_by=_first(one.effect <= 0 if gain else one.effect >= 0 for one in worst),
        undone_by=_first(not _proven(one, gain, alpha) for one in worst) if proven else None,
        proven=bool(proven),
        survives=bool(proven) and _proven(left, gain, alpha),
    )


def leave_out(moments: Moments, values: Array, *, column: str) -> Moments:
    """Moments of one column without units of these values.

        mean' = mean - sum(value - mean) / (n - k)
        M2'   = M2 - sum((value - mean)^2) - (n - k) (mean' - mean)^2

    Where the others have no more than 1e-12 of the squares, they count as equal to each other.
    """
    i, k = moments.index(column), len(values)
    before = float(moments.comoment[moments.pairs.index((i, i))])
    rest = moments.count - k
    away = (np.asarray(values, dtype=np.float64) - moments.mean[i]) - moments.rest[i]
    shift = -float(away.sum()) / rest
    left = before - float(away @ away) - rest * shift**2
    mean, cut_off = two_sum(moments.mean[[i]], moments.rest[[i]] + shift)
    spread = left if left > ROUNDING * before else 0.0
    return Moments((column,), ((0, 0),), rest, mean, np.array([spread]), cut_off)


def _largest_of_both(treatment: Extremes, control: Extremes, k: int) -> tuple[Array, Array]:
    """The k largest magnitudes of both arms together, by arm."""
    ends = (treatment.both_ends, control.both_ends)
    every = np.concatenate(ends)
    chosen = np.argsort(-np.abs(every), kind="stable")[:k]
    of_treatment = chosen < len(ends[0])
    return every[chosen[of_treatment]], every[chosen[~of_treatment]]


def _worst_units(
    treatment: Moments,
    control: Moments,
    column: str,
    ends: tuple[Extremes, Extremes],
    n: int,
    gain: bool,
) -> tuple[Array, Array]:
    """The n units without which a gain is smallest (a loss nearest to a gain), by arm."""
    from_t = ends[0].largest if gain else ends[0].smallest
    from_c = ends[1].smallest if gain else ends[1].largest
    mean_t, mean_c = treatment.mean_of(column), control.mean_of(column)
    splits = [a for a in range(n + 1) if a <= len(from_t) and n - a <= len(from_c)]
    effects = [
        (mean_t - float(np.sum(from_t[:a] - mean_t)) / (treatment.count - a))
        - (mean_c - float(np.sum(from_c[: n - a] - mean_c)) / (control.count - (n - a)))
        for a in splits
    ]
    a = splits[int(np.argmin(effects) if gain else np.argmax(effects))]
    return from_t[:a], from_c[: n - a]


def _first(found: Iterable[bool]) -> int | None:
    """Number, from 1, of the first that holds."""
    return next((n for n, holds in enumerate(found, start=1) if holds), None)


def _proven(estimate: Estimate, gain: bool, alpha: float) -> bool:
    return estimate.p_value < alpha and (estimate.effect > 0) is gain
