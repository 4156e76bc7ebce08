"""A universal control whose members change places: who is held out when, and whom to compare with.

The control is made of cohorts. In turn the oldest is let go and a new one is drawn, as many, from
those who were never held out; when too few of them are left, from all who are not held out now
and whose wash-out is over. Clusters stay whole. Each draw takes the smallest hashes of its own
salt, so it can be repeated.

A cohort is comparable with those who were in the same draw and not taken. Earlier draws had thinned
that list, later ones thin it again; as every draw's probability is known, weights undo both:

    weight in the draw     1 / product over the draws that still kept members out of it of (1 - p)
    weight in comparison   the same / product over the later draws of (1 - p)

where only draws the unit was a candidate of count. So a weighted mean over a cohort, or over its
comparison, estimates the mean over everybody eligible when the cohort was drawn. A unit that has
left since stays in, with the outcome of one who left: what contacts did to leaving is an effect.

Source: Robins, Hernán & Brumback (2000), Epidemiology 11(5), with probabilities known by design.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.hashing import hash_units, salt_of
from uplift.assignment.order import distinct_customers
from uplift.errors import DataError, DefinitionError
from uplift.experiment import CONTROL
from uplift.frames import UNIT, rows_by_id

MEMBER_COLUMNS = (UNIT, "cohort", "from_at", "until_at")
DRAW_COLUMNS = ("cohort", UNIT, "cluster", "propensity", "weight", "drawn")
PROGRAMME = "programme"  # the arm of those who may be contacted
LONGEST_DAYS = 36_500  # a century
SPARE = 4  # former members are drawn again when fewer than so many times the cohort were never in

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Draws = Mapping[int, pd.DataFrame]  # by number of the cohort, as `draw_cohort` gives them


@dataclass(frozen=True)
class Turn:
    """What a draw must know of the cohorts before it.

    members       `MEMBER_COLUMNS`, one row per unit and cohort; times in UTC, `until_at` missing
                  while a unit is held out
    draws         every earlier draw
    at            when the new cohort starts
    washout_days  in which a former member is not drawn again
    """

    members: pd.DataFrame
    draws: Draws
    at: datetime
    washout_days: int


def no_members() -> pd.DataFrame:
    """The memberships of a programme that has just begun."""
    return pd.DataFrame(
        {
            UNIT: pd.Series(dtype="str"),
            "cohort": pd.Series(dtype="int64"),
            "from_at": pd.Series(dtype="datetime64[us, UTC]"),
            "until_at": pd.Series(dtype="datetime64[us, UTC]"),
        }
    )


def members_on(members: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Rows of those held out at a moment: from_at <= as_of < until_at."""
    started = (members["from_at"] <= as_of).to_numpy(dtype=np.bool_)
    held: pd.DataFrame = members[started & ~_ended(members, as_of)]
    return held.reset_index(drop=True)


def washing_on(members: pd.DataFrame, as_of: datetime, *, washout_days: int) -> pd.DataFrame:
    """Rows of those let go less than `washout_days` before: contacted again, not yet counted."""
    before = as_of - timedelta(days=washout_days)
    ended = _ended(members, as_of) & ~_ended(members, before)
    washing: pd.DataFrame = members[ended]
    return washing.reset_index(drop=True)


def draw_cohort(
    customers: Any, turn: Turn, *, number: int, size: int, salt: str, cluster: str | None = None
) -> pd.DataFrame:
    """Draw a cohort from those who may join: `size` clusters, or units where none are declared.

    customers  the eligible ones, with `unit` and the cluster's column
    number     of the cohort, from 1; part of the salt
    salt       the programme's name or the salt it declares

    Returns `DRAW_COLUMNS`, one row per unit that could have been drawn, sorted by unit: the
    probability of being drawn, the weight explained above, and whether it was.

    Errors: those of ids, COHORT_ORDER, POOL_TOO_SMALL.
    """
    if number != max(turn.draws, default=0) + 1 or size < 1:
        raise DefinitionError(
            f"Cohort {number} of {size} cannot be drawn: the last was "
            f"{max(turn.draws, default=0)}. Draw one after another, at least one unit each.",
            code="COHORT_ORDER",
        )
    table = distinct_customers(customers, cluster=cluster).sort_values(UNIT, ignore_index=True)
    ids = table[cluster or UNIT].astype("str").rename("cluster")
    barring, pool = _pool(table[UNIT], ids, turn, size=size)
    candidates = pd.Series(ids[pool].unique(), dtype="str")
    if len(candidates) <= size:
        raise DataError(
            f"cohort {number}: {len(candidates)} may be drawn, and {size} are wanted beside others "
            "to compare with. Widen the audience or make the control smaller.",
            code="POOL_TOO_SMALL",
            count=len(candidates),
        )
    values = hash_units(candidates, salt=salt_of(salt, "holdout", wave=f"cohort{number}"))
    taken = candidates.to_numpy()[np.lexsort((candidates.to_numpy(dtype=object), values))[:size]]
    clusters = ids[pool].reset_index(drop=True)
    return pd.DataFrame(
        {
            "cohort": np.full(len(clusters), number, dtype=np.int64),
            UNIT: table.loc[pool, UNIT].reset_index(drop=True),
            "cluster": clusters,
            "propensity": np.full(len(clusters), size / len(candidates)),
            "weight": 1 / _not_drawn(clusters, [turn.draws[cohort] for cohort in barring]),
            "drawn": rows_by_id(clusters, among=pd.Series(taken, dtype="str")) >= 0,
        },
        columns=list(DRAW_COLUMNS),
    )


def draws_at_start(
    customers: Any,
    *,
    cohorts: int,
    size: int,
    salt: str,
    at: datetime,
    cluster: str | None = None,
) -> list[pd.DataFrame]:
    """The first cohorts, drawn together; the first of them will be the first to be let go."""
    draws: dict[int, pd.DataFrame] = {}
    members = no_members()
    for number in range(1, cohorts + 1):
        turn = Turn(members, draws, at, washout_days=0)
        draws[number] = draw_cohort(
            customers, turn, number=number, size=size, salt=salt, cluster=cluster
        )
        joined = members_of(draws[number], at)
        members = joined if members.empty else pd.concat([members, joined], ignore_index=True)
    return list(draws.values())


def members_of(draw: pd.DataFrame, at: datetime) -> pd.DataFrame:
    """The memberships that a draw begins."""
    drawn = draw.loc[draw["drawn"], [UNIT, "cohort"]].reset_index(drop=True)
    start = pd.Series(pd.Timestamp(at), index=drawn.index, dtype="datetime64[us, UTC]")
    end = pd.Series(pd.NaT, index=drawn.index, dtype="datetime64[us, UTC]")
    return drawn.assign(from_at=start, until_at=end)


def comparison_by_cohort(
    members: pd.DataFrame,
    draws: Draws,
    as_of: datetime,
    *,
    washout_days: int,
    settle_days: int = 0,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Each cohort held out at a moment, oldest first, beside those of the same draw not taken.

    settle_days  in which a new cohort is not yet counted, because earlier contacts still work

    Gives `unit`, `cluster`, `arm` (control or programme) and `weight`, which adds up to 1 per arm.

    Errors: ARGUMENT_INVALID.
    """
    if not 0 <= settle_days <= LONGEST_DAYS:
        raise DefinitionError(
            f"settle_days must be 0 to {LONGEST_DAYS:,}, got {settle_days}. Give the days in which "
            "contacts from before still work.",
            code="ARGUMENT_INVALID",
        )
    held = members_on(members, as_of)
    out = pd.concat([held, washing_on(members, as_of, washout_days=washout_days)])[UNIT]
    settled = held[(held["from_at"] <= as_of - timedelta(days=settle_days)).to_numpy()]
    started = set(members.loc[(members["from_at"] <= as_of).to_numpy(), "cohort"])
    for cohort in sorted(set(settled["cohort"])):
        draw = _of(draws, int(cohort))
        later = [_of(draws, int(other)) for other in sorted(started) if other > cohort]
        control = draw["drawn"].to_numpy(dtype=np.bool_)
        apart = ~control & (rows_by_id(draw[UNIT], among=out) < 0)
        weight = draw["weight"].to_numpy(dtype=np.float64)
        weight = np.where(control, weight, weight / _not_drawn(draw["cluster"], later))
        for arm in (control, apart):
            weight[arm] /= weight[arm].sum()
        kept = control | apart
        yield (
            int(cohort),
            pd.DataFrame(
                {
                    UNIT: draw.loc[kept, UNIT].to_numpy(),
                    "cluster": draw.loc[kept, "cluster"].to_numpy(),
                    "arm": np.where(control[kept], CONTROL, PROGRAMME),
                    "weight": weight[kept],
                }
            ).astype({UNIT: "str", "cluster": "str", "arm": "str"}),
        )


def comparison_on(
    members: pd.DataFrame,
    draws: Draws,
    as_of: datetime,
    *,
    washout_days: int,
    settle_days: int = 0,
) -> pd.DataFrame:
    """Who is compared with whom at a moment, one row per unit, sorted by unit.

    Columns `unit`, `cluster`, `arm` and `weight`; weights add up to 1 per arm, and

        effect of the programme = sum of weight * outcome over programme - the same over control

    is the effect of having been contacted rather than held out since one's cohort was drawn,
    averaged over the present cohorts, for everybody eligible at their draws. Members in wash-out
    are in neither arm.

    Errors: CONTROL_EMPTY when nobody is held out then.
    """
    parts = [
        part
        for _, part in comparison_by_cohort(
            members, draws, as_of, washout_days=washout_days, settle_days=settle_days
        )
    ]
    if not parts:
        raise DataError(
            f"Nobody is held out (and settled) on {as_of:%Y-%m-%d}. Rotate first, or choose "
            "another day.",
            code="CONTROL_EMPTY",
        )
    whole = pd.concat(parts, ignore_index=True)
    whole["weight"] /= len(parts)
    grouped = whole.groupby([UNIT, "arm"], as_index=False, sort=True)
    found = grouped.agg(cluster=("cluster", "last"), weight=("weight", "sum"))
    return found[[UNIT, "cluster", "arm", "weight"]]


def _ended(members: pd.DataFrame, as_of: datetime) -> Mask:
    until = members["until_at"]
    return (until.notna() & (until <= as_of)).to_numpy(dtype=np.bool_)


def _of(draws: Draws, cohort: int) -> pd.DataFrame:
    if cohort not in draws:
        raise DataError(
            f"The draw of cohort {cohort} is not at hand. Give every draw since the oldest cohort "
            "that is held out.",
            code="DRAW_MISSING",
        )
    return draws[cohort]


def _pool(units: pd.Series, ids: pd.Series, turn: Turn, *, size: int) -> tuple[Sequence[int], Mask]:
    """Who may be drawn, and the cohorts whose members may not.

    Those who were never held out; if these are too few, also former members past their wash-out.
    """
    every = sorted({int(cohort) for cohort in turn.members["cohort"]})
    never = ~_belong(units, ids, turn.members, turn.draws)
    if ids[never].nunique() >= SPARE * size:
        return every, never
    held = members_on(turn.members, turn.at)
    washing = washing_on(turn.members, turn.at, washout_days=turn.washout_days)
    out = pd.concat([held, washing], ignore_index=True)
    return sorted({int(cohort) for cohort in out["cohort"]}), ~_belong(units, ids, out, turn.draws)


def _belong(units: pd.Series, ids: pd.Series, members: pd.DataFrame, draws: Draws) -> Mask:
    """Whether a unit's cluster, as it is now or was when drawn, has a member among these."""
    direct = rows_by_id(units, among=members[UNIT]) >= 0
    clusters = set(ids[direct])
    for cohort in {int(cohort) for cohort in members["cohort"]}:
        draw = _of(draws, cohort)
        clusters |= set(draw.loc[draw["drawn"], "cluster"])
    return direct | ids.isin(clusters).to_numpy(dtype=np.bool_)


def _not_drawn(clusters: pd.Series, draws: Sequence[pd.DataFrame]) -> Array:
    """Probability that none of these draws took each cluster; one not in a draw could not be."""
    chance = np.ones(len(clusters))
    for draw in draws:
        rows = rows_by_id(clusters, among=draw["cluster"])
        found = rows >= 0
        chance[found] *= 1 - draw["propensity"].to_numpy(dtype=np.float64)[rows[found]]
    return chance
