"""Assign units to arms: the fixed order first (`order`), then the draw (`draws`).

The same definition, customers and lists give the same table, in whatever order the rows come and
whenever it is run: nothing here reads a clock or a random number.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.draws import SIZE, Draw, Facts, draw_list, texts
from uplift.assignment.hashing import draw_salt
from uplift.assignment.order import Lists, Selection, Step, exposure_of, select
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import UNIT, rows_by_id
from uplift.reading_rules import ReadingRules, as_told
from uplift.schedule import Window

COLUMNS = (
    "experiment",
    "unit",
    "arm",
    "propensity",
    "stratum",
    "cluster",
    "layer_slot",
    "assigned_at",
    "would_send",
)

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Assignment:
    """An assignment and how it came about.

    table           the columns of an assignment, sorted by unit
    steps           units left after each step, in the fixed order
    draw            how the arms of those without one were drawn
    wave            name of the wave
    exposure_share  of the eligible units that take part
    n_kept          units that kept the arm of an earlier assignment
    """

    table: pd.DataFrame = field(repr=False)
    steps: tuple[Step, ...]
    draw: Draw
    wave: str
    exposure_share: Fraction
    n_kept: int = 0

    def to_pandas(self) -> pd.DataFrame:
        """The table, so that an assignment can be given wherever a table is."""
        return self.table


def assign(
    experiment: Experiment,
    customers: Any,
    *,
    excluded: Any = None,
    suppressed: Any = None,
    contacts: Any = None,
    wave: str | None = None,
    exposure_share: Fraction | float | str | None = None,
    trim: bool = False,
) -> pd.DataFrame:
    """One row per unit that takes part, sorted by unit.

        customers → eligible → not suppressed → not excluded → in the layer → below the caps
        → exposed → arm drawn

    customers       any table with `unit`, the audience's columns, those of strata and balance and,
                    where the experiment randomises clusters, the cluster column; identical
                    repeated rows count once
    excluded        `unit`: those are left out (e.g. `held_out(universal_assignment)`); needed
                    where the definition excludes other experiments
    suppressed      `unit`: those must not be contacted
    contacts        `unit`, `sent_at` …: needed where the definition caps contacts
    wave            a later wave has its own caps and times; arms are drawn anew only where the
                    schedule says so
    exposure_share  larger than the definition's: adds units, and moves none between arms
    trim            remove blanks around ids; `assignment_report(…, trim=True)` counts them

    Returns the columns of an assignment:

        arm, propensity  the arm drawn and its probability by design
        stratum          the stratum or block with exact shares; "" where there is none. Of a
                         cluster it is that of its first member by id
        cluster          the id that was drawn: the cluster's, or the unit's own
        layer_slot       where the arm's hash fell in [0, 1)
        assigned_at      the wave's start, in UTC
        would_send       true for every row: a control unit would have been contacted too

    Errors: those of ids (ID_MISSING, …), ID_DUPLICATE (two different rows of one unit),
    AUDIENCE_COLUMN, COLUMN_MISSING, EXCLUDED_MISSING, EXCLUDED_ARMS, CONTACTS_MISSING, RAMP_DOWN,
    WAVE_UNKNOWN, EARLIER_MISSING, BALANCE_COLUMN, BALANCE_UNREACHED.
    """
    rules, given = ReadingRules(trim=trim), (customers, excluded, suppressed, contacts)
    names = ("customers", "excluded units", "suppressed units", "contacts")
    told = [as_told(t, what=name, rules=rules)[0] for t, name in zip(given, names, strict=True)]
    lists = Lists(excluded=told[1], suppressed=told[2], contacts=told[3])
    return assign_from(experiment, told[0], lists, wave=wave, exposure_share=exposure_share).table


def assign_from(
    experiment: Experiment,
    customers: Any,
    lists: Lists | None = None,
    *,
    wave: str | None = None,
    exposure_share: Fraction | float | str | None = None,
    at: datetime | None = None,
) -> Assignment:
    """`assign` with its account, and with what was assigned earlier.

    at  of a trigger: the moment at which units come in, in UTC. Caps count back from it, and it
        stands in `assigned_at`; when not given, the start

    Units and clusters with an arm in `lists.earlier` keep it, unless the wave is drawn anew; the
    others are drawn by the same rule. A list drawn at once (any method but `hash`) needs it in
    every sticky wave but the first: EARLIER_MISSING.
    """
    lists = lists or Lists()
    window = experiment.schedule.window(wave)
    _require_earlier(experiment, window, lists)
    window = window if at is None else replace(window, opens_at=at)
    selection = select(experiment, customers, lists, window=window, exposure_share=exposure_share)
    table, draw, n_kept = _with_arms(experiment, selection, window)
    return Assignment(
        table=table,
        steps=(*selection.steps, Step("assigned", len(table))),
        draw=draw,
        wave=window.wave,
        exposure_share=exposure_of(experiment, exposure_share),
        n_kept=n_kept,
    )


def _require_earlier(experiment: Experiment, window: Window, lists: Lists) -> None:
    first = experiment.schedule.windows[0]
    batch = experiment.assignment.method != "hash"
    if batch and window.draw == "sticky" and window != first and lists.earlier is None:
        raise DataError(
            f"{experiment.id} draws whole lists, so the arms of wave {window.wave!r} stand in the "
            "assignments before it. Give them as Lists(earlier=…).",
            code="EARLIER_MISSING",
        )


def _with_arms(
    experiment: Experiment, selection: Selection, window: Window
) -> tuple[pd.DataFrame, Draw, int]:
    """The table, how the new ones were drawn, and how many units kept their arm."""
    table = selection.table
    cluster = table[experiment.cluster or UNIT].astype("str")
    known = _known(experiment, selection.earlier, window)
    row = rows_by_id(cluster, among=known["cluster"])
    new = row < 0
    ids, facts, member = to_draw(experiment, table[new], cluster[new])
    salt = list_salt(experiment, wave=window.wave, n_known=len(known))
    drawn = draw_list(experiment, ids, facts, salt=salt)
    columns: dict[str, Any] = {
        "arm": texts(experiment.arm_names, drawn.arm),
        "propensity": drawn.propensity,
        "stratum": drawn.stratum,
        "layer_slot": drawn.slot,
    }
    found = {
        name: _merged(values[member], known[name].to_numpy()[row[~new]], new)
        for name, values in columns.items()
    }
    return _table(experiment, table[UNIT], cluster, found, window), drawn.draw, int((~new).sum())


def _known(experiment: Experiment, earlier: pd.DataFrame | None, window: Window) -> pd.DataFrame:
    """Arms that stay, one row per cluster: those of the sticky draw, or of this very wave."""
    columns = ["cluster", "arm", "propensity", "stratum", "layer_slot"]
    if earlier is None:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    opens_at = pd.to_datetime(earlier["assigned_at"], utc=True)
    if window.draw == "redrawn":
        stays = opens_at == pd.Timestamp(window.opens_at)
    else:
        redrawn = [w.opens_at for w in experiment.schedule.windows if w.draw == "redrawn"]
        stays = ~opens_at.isin(pd.to_datetime(pd.Series(redrawn, dtype=object), utc=True))
    kept = earlier.loc[stays.to_numpy(dtype=np.bool_), columns]
    return kept.drop_duplicates("cluster", ignore_index=True)


def to_draw(
    experiment: Experiment, table: pd.DataFrame, cluster: pd.Series
) -> tuple[pd.Series, Facts, IntArray]:
    """The ids to draw in ascending order, what is known of them, and which one each unit has.

    table, cluster  rows in the order of their units

    A cluster has its first member's stratum, and its members' totals and number as covariates.
    """
    plan = experiment.assignment
    strata = table[[name for name in plan.strata if name in table.columns]]
    covariates = table[[name for name in plan.balance if name in table.columns]]
    if experiment.cluster is None:
        return cluster, Facts(strata, covariates), np.arange(len(table))
    member, ids = pd.factorize(cluster, sort=True)
    first = np.full(len(ids), len(table), dtype=np.int64)
    np.minimum.at(first, member, np.arange(len(table)))
    totals = covariates.take(first)  # text stays, to be refused by name
    for name in covariates.select_dtypes(["number", "bool"]).columns:
        values = covariates[name].to_numpy(np.float64, na_value=np.nan)
        totals[name] = np.bincount(member, weights=values, minlength=len(ids))
    totals[SIZE] = np.bincount(member, minlength=len(ids))
    return pd.Series(ids, dtype="str"), Facts(strata.take(first), totals), member.astype(np.int64)


def list_salt(experiment: Experiment, *, wave: str, n_known: int) -> str:
    """The salt of a wave's draw, when so many units or clusters keep an arm they have."""
    salt = draw_salt(experiment, wave=wave)
    if n_known and experiment.assignment.method != "hash":
        return f"{salt}:after:{n_known}"  # other lots for the rest of other sizes
    return salt


def _merged(new_values: Any, kept_values: Any, new: npt.NDArray[np.bool_]) -> Any:
    if new.all():  # nothing to merge
        return new_values
    merged = np.empty(len(new), dtype=np.asarray(new_values).dtype)
    merged[new], merged[~new] = new_values, kept_values
    return merged


def _table(
    experiment: Experiment,
    units: pd.Series,
    cluster: pd.Series,
    found: dict[str, Any],
    window: Window,
) -> pd.DataFrame:
    n_units = len(units)
    launch = pd.Timestamp(window.opens_at).as_unit("us")
    return pd.DataFrame(
        {
            "experiment": texts([experiment.id], np.zeros(n_units, dtype=np.int64)),
            "unit": units.astype("str"),
            "arm": pd.Series(found["arm"], dtype="str"),
            "propensity": found["propensity"].astype(np.float64),
            "stratum": pd.Series(found["stratum"], dtype="str"),
            "cluster": cluster.rename("cluster"),
            "layer_slot": found["layer_slot"].astype(np.float64),
            "assigned_at": pd.Series(launch, index=range(n_units), dtype="datetime64[us, UTC]"),
            "would_send": np.ones(n_units, dtype=np.bool_),
        },
        columns=list(COLUMNS),
    )
