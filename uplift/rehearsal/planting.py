"""An effect planted in history, so that it is known what a replay should find.

    baskets  every treated customer's value and primary outcome times 1 + effect: whoever buys
             spends more, nobody buys who would not have
    buyers   the share of customers who buy is 1 + effect times as large: so many treated customers
             who did not buy, drawn at random, get all outcomes of a buyer drawn at random (below 0:
             buyers get those of a customer who did not buy). Whole rows are copied, so that visit,
             conversion and spend stay consistent

Both raise spend per customer by the same share on average.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.sizing.baseline import TWO_PART_ZEROS

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Path = Literal["baskets", "buyers"]
PATHS: tuple[Path, ...] = ("baskets", "buyers")


@dataclass(frozen=True)
class Effect:
    """What is planted, in every treatment alike.

    relative  share by which the outcome per customer rises
    path      how it comes about
    """

    relative: float
    path: Path

    def __post_init__(self) -> None:
        if self.path not in PATHS:
            raise DefinitionError(
                f"path must be one of {', '.join(PATHS)}, got {self.path!r}.", code="PATH_INVALID"
            )
        if not -1 < self.relative < np.inf or self.relative == 0:
            raise DefinitionError(
                f"The planted effect must be above -1 and not 0, got {self.relative}. "
                "Give a share, e.g. 0.05.",
                code="EFFECT_INVALID",
            )

    def words(self) -> str:
        """How the effect is planted, in a sentence."""
        if self.path == "baskets":
            return f"every treated customer spends {self.relative:+.1%}"
        return f"there are {self.relative:+.1%} buyers among the treated, with usual baskets"


@dataclass(frozen=True, eq=False)
class Change:
    """For each unit whose row it gets, and by what its value is multiplied. Each (n_units,)."""

    row: IntArray
    factor: Array
    columns: tuple[str, ...]

    def of(self, outcomes: pd.DataFrame) -> pd.DataFrame:
        """Outcomes with the change made."""
        changed = {name: values.to_numpy(np.float64)[self.row] for name, values in outcomes.items()}
        for name in self.columns:
            changed[name] = changed[name] * self.factor
        return pd.DataFrame(changed)


def usual_path(experiment: Experiment, outcomes: pd.DataFrame) -> Path:
    """`buyers` where a proportion decides, or a mean that is 0 for most customers; else `baskets`.

    So the design counts too: its power and that of the replays are of the same effect.
    """
    metric = experiment.primary
    mostly_zero = (outcomes[metric.column] == 0).mean() >= TWO_PART_ZEROS
    return "buyers" if metric.kind == "proportion" or mostly_zero else "baskets"


def plant(
    effect: Effect,
    experiment: Experiment,
    outcomes: pd.DataFrame,
    treated: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    wave: IntArray | None = None,
) -> Change:
    """The change that the effect makes in one replay. Errors: EFFECT_INVALID.

    wave  (n_rows,)  of each row, where there are several: a buyer stands for one of the same wave
    """
    rows = np.arange(len(outcomes))
    if effect.path == "baskets":
        columns = tuple(dict.fromkeys([experiment.primary.column, experiment.money.value]))
        return Change(rows, np.where(treated, 1 + effect.relative, 1.0), columns)
    buys = outcomes[experiment.primary.column].to_numpy() != 0
    groups = np.zeros(len(rows), dtype=np.int64) if wave is None else wave
    for number in np.unique(groups):
        mine = np.flatnonzero(groups == number)
        rows[mine] = mine[_moved(effect, buys[mine], treated[mine], rng)]
    return Change(rows, np.ones(len(rows)), ())


def _moved(
    effect: Effect,
    buys: npt.NDArray[np.bool_],
    treated: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> IntArray:
    """For each row the one whose outcomes it gets. (n_rows,)."""
    rows = np.arange(len(buys))
    share = float(buys.mean())
    change = share * abs(effect.relative)
    moved_from, donors = (~buys, buys) if effect.relative > 0 else (buys, ~buys)
    room = float(moved_from.mean())
    if not (donors.any() and change <= room):
        raise DefinitionError(
            f"{share:.1%} of customers buy, so that share cannot change by {effect.relative:+.1%}. "
            "Plant a smaller effect.",
            code="EFFECT_INVALID",
        )
    moved = np.flatnonzero(treated & moved_from & (rng.random(len(rows)) < change / room))
    rows[moved] = rng.choice(np.flatnonzero(donors), len(moved))
    return rows
