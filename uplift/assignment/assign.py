"""Assign units to arms: eligible → not held out elsewhere → drawn by hash, in that order.

The same definition and customers give the same table, in whatever order the customers come and
whenever it is run: nothing here reads a clock or a random number.
"""

from typing import Any

import numpy as np
import pandas as pd

from uplift.assignment.hashing import draw_arms, exact_shares, hash_units, salt_of, slots
from uplift.audience import eligible
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, clean_units, read_frame, require_unique, rows_by_id

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


def assign(experiment: Experiment, customers: Any, *, excluded: Any = None) -> pd.DataFrame:
    """One row per eligible unit that nobody else holds out, sorted by unit.

    customers  any table with `unit`, the audience's columns and, where the experiment randomises
               clusters, the cluster column; identical repeated rows count once
    excluded   any table with `unit`: those are left out (e.g. `held_out(universal_assignment)`)

    Returns the columns of an assignment:

        arm, propensity  the arm drawn and its designed share
        cluster          the id that was drawn: the cluster's, or the unit's own
        layer_slot       where the draw fell in [0, 1)
        assigned_at      the launch, in UTC
        would_send       true for every row: a control unit would have been contacted too

    Errors: those of ids (ID_MISSING, …), ID_DUPLICATE (two different rows of one unit),
    AUDIENCE_COLUMN, COLUMN_MISSING, EXCLUDED_ARMS.
    """
    table = distinct_customers(customers, cluster=experiment.cluster)
    table = table[eligible(table, experiment.audience)]
    if excluded is not None:
        table = table[rows_by_id(table[UNIT], among=_excluded_units(excluded)) < 0]
    return _drawn(experiment, table.sort_values(UNIT, ignore_index=True))


def held_out(assigned: Any) -> pd.DataFrame:
    """The control units of an assignment, e.g. of the universal control: what others exclude."""
    table = read_frame(assigned, what="assignment", require=["arm"])
    return table.loc[table["arm"] == CONTROL, [UNIT]].reset_index(drop=True)


def distinct_customers(customers: Any, *, cluster: str | None = None) -> pd.DataFrame:
    """Customers with checked ids; rows that repeat another one whole are dropped.

    cluster  column of the randomised cluster; its ids are checked as units' ids are
    """
    table = read_frame(customers, what="customers", require=[cluster] if cluster else [])
    if table[UNIT].duplicated().any():
        table = table.drop_duplicates(ignore_index=True)
        require_unique(table[UNIT], what="customers")
    if cluster:
        table[cluster] = clean_units(table[cluster], column=cluster, what="customers")
    return table


def _excluded_units(excluded: Any) -> pd.Series:
    table = read_frame(excluded, what="excluded units")
    arms = sorted({str(arm) for arm in table["arm"]}) if "arm" in table.columns else []
    if len(arms) > 1:
        raise DataError(
            "excluded units: this is a whole assignment, with arms "
            f"{', '.join(arms[:5])}. Give the units to leave out: "
            "held_out(assigned) for its control, or assigned[['unit']] for all of them.",
            code="EXCLUDED_ARMS",
            column="arm",
        )
    return table[UNIT]


def _drawn(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    cluster = table[experiment.cluster or UNIT]
    values = hash_units(cluster, salt=salt_of(experiment.id, "arm"))
    drawn = draw_arms(values, exact_shares(experiment))
    n_units = len(table)
    launch = pd.Timestamp(experiment.schedule.launch_at).as_unit("us")
    return pd.DataFrame(
        {
            "experiment": pd.Series(np.full(n_units, experiment.id, dtype=object), dtype="str"),
            "unit": table[UNIT].astype("str"),
            "arm": pd.Series(np.array(experiment.arm_names, dtype=object)[drawn], dtype="str"),
            "propensity": np.array(list(experiment.shares.values()), dtype=np.float64)[drawn],
            "stratum": pd.Series(np.full(n_units, "", dtype=object), dtype="str"),
            "cluster": cluster.astype("str").rename("cluster"),
            "layer_slot": slots(values),
            "assigned_at": pd.Series(launch, index=range(n_units), dtype="datetime64[us, UTC]"),
            "would_send": np.ones(n_units, dtype=np.bool_),
        },
        columns=list(COLUMNS),
    )
