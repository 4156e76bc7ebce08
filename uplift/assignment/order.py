"""The fixed order of an assignment: who is left after each step, before any arm is drawn.

    customers → eligible → not suppressed → not excluded → in the layer → below the caps → exposed

Everything that keeps a customer from being contacted comes before the draw, so that it keeps the
control out as it keeps the treatments out, and the arms stay alike. A step that a definition or a
list does not ask for removes nobody; it is logged all the same.

A unit leaves alone: when one member of a household is suppressed, the others stay. Exposure is
drawn by what the experiment randomises, and so is the layer where it does not name something
coarser, so they take a household whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.caps import below_caps
from uplift.assignment.hashing import in_its_layer, is_exposed
from uplift.audience import eligible
from uplift.errors import DataError, DefinitionError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, clean_units, read_frame, require_unique, rows_by_id
from uplift.schedule import Window
from uplift.trial import checked_assignment

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """How many units were left after one step.

    asked  whether the definition or a list asked for it
    """

    name: str
    n_units: int
    asked: bool = True


@dataclass(frozen=True)
class Lists:
    """What an assignment is told about customers beside their own columns.

    excluded    `unit`: held out elsewhere (e.g. `held_out(universal_assignment)`)
    suppressed  `unit`: must not be contacted (consent, bounces, deceased); any row counts,
                whatever channel it names
    contacts    `unit`, `sent_at` …: for the contact caps (see `caps`)
    earlier     assignments this experiment made before, of all its waves: who has an arm keeps it
    """

    excluded: Any = None
    suppressed: Any = None
    contacts: Any = None
    earlier: Any = None


@dataclass(frozen=True)
class Selection:
    """The units that take part, sorted by id, and how many each step left.

    earlier  the earlier assignments, checked; None when there were none
    """

    table: pd.DataFrame
    steps: tuple[Step, ...]
    earlier: pd.DataFrame | None


def select(
    experiment: Experiment,
    customers: Any,
    lists: Lists,
    *,
    window: Window,
    exposure_share: Fraction | float | str | None = None,
) -> Selection:
    """Apply the steps in their order.

    Errors: those of ids, ID_DUPLICATE, AUDIENCE_COLUMN, COLUMN_MISSING, EXCLUDED_MISSING,
    EXCLUDED_ARMS, LAYER_CUTS_CLUSTER, CONTACTS_MISSING, RAMP_DOWN, WEIGHTS_INVALID.
    """
    share = exposure_of(experiment, exposure_share)
    earlier = _earlier(experiment, lists.earlier)
    layer_by = experiment.layer_by if experiment.assignment.layer else None
    table = distinct_customers(customers, cluster=experiment.cluster, layer_by=layer_by)
    steps = [Step("customers", len(table))]
    for name, asked, keep in _rules(experiment, lists, earlier, window, share):
        if asked:
            table = table[keep(table)]
        steps.append(Step(name, len(table), asked))
    return Selection(table.sort_values(UNIT, ignore_index=True), tuple(steps), earlier)


def held_out(assigned: Any) -> pd.DataFrame:
    """The control units of an assignment, e.g. of the universal control: what others exclude."""
    table = read_frame(assigned, what="assignment", require=["arm"])
    return table.loc[table["arm"] == CONTROL, [UNIT]].reset_index(drop=True)


def excluded_units(excluded: Any) -> pd.Series:
    """Units to leave out. Errors: those of ids; EXCLUDED_ARMS for a whole assignment."""
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


def distinct_customers(
    customers: Any, *, cluster: str | None = None, layer_by: str | None = None
) -> pd.DataFrame:
    """Customers with checked ids; rows that repeat another one whole are dropped.

    cluster   column of the randomised cluster; its ids are checked as units' ids are
    layer_by  column whose ids say in which part of a layer a unit is; checked alike
    """
    ids = [name for name in dict.fromkeys((cluster, layer_by)) if name]
    table = read_frame(customers, what="customers", require=ids)
    if table[UNIT].duplicated().any():
        table = table.drop_duplicates(ignore_index=True)
        require_unique(table[UNIT], what="customers")
    for name in ids:
        table[name] = clean_units(table[name], column=name, what="customers")
    return table


def inside_layer(customers: pd.DataFrame, experiment: Experiment) -> Mask:
    """Whether each customer is in the experiment's part of its layer. Returns (n_customers,).

    Errors: COLUMN_MISSING, those of ids, LAYER_CUTS_CLUSTER (a cluster is in several parts).
    """
    by, what = experiment.layer_by, "customers"
    if by is None:
        return in_its_layer(customers[UNIT], experiment)
    table = read_frame(customers, what=what, require=[by], unit=None)
    ids = clean_units(table[by], column=by, what=what)
    if experiment.cluster is not None and experiment.cluster != by:
        pairs = pd.DataFrame({"cluster": table[experiment.cluster], "by": ids}).drop_duplicates()
        cut = int(pairs["cluster"].duplicated().sum())
        if cut:
            raise DataError(
                f"{what}: {cut} {experiment.cluster}(s) have members of several {by}s, so that a "
                f"layer drawn by {by} would cut them apart. Draw it by {experiment.cluster}.",
                code="LAYER_CUTS_CLUSTER",
                column=by,
                count=cut,
            )
    return in_its_layer(ids, experiment)


def exposure_of(experiment: Experiment, given: Fraction | float | str | None) -> Fraction:
    """The share of eligible units that take part: the definition's, or a larger one."""
    planned = experiment.assignment.exposure_share
    if given is None:
        return planned
    try:
        share = Fraction(str(given))
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not 0 < share <= 1:
        raise DefinitionError(
            f"an exposure share must be above 0 and at most 1, got {given!r}. Give the share of "
            "eligible units that take part, e.g. 0.5.",
            code="WEIGHTS_INVALID",
        )
    if share < planned:
        raise DefinitionError(
            f"{experiment.id} takes in {float(planned):g} of the eligible units by its definition; "
            f"{float(share):g} would remove some that have an arm. An exposure share only grows.",
            code="RAMP_DOWN",
        )
    return share


Rule = tuple[str, bool, Callable[[pd.DataFrame], Mask]]


def _rules(
    experiment: Experiment,
    lists: Lists,
    earlier: pd.DataFrame | None,
    window: Window,
    share: Fraction,
) -> Iterator[Rule]:
    """Name of each step, whether it is asked for, and whom it keeps; in the fixed order."""
    plan, drawn_id = experiment.assignment, experiment.cluster or UNIT
    if plan.excludes and lists.excluded is None:
        raise DataError(
            f"{experiment.id} leaves out the control of {', '.join(plan.excludes)}. Give it as "
            "excluded=held_out(assigned), an empty table when there is nobody.",
            code="EXCLUDED_MISSING",
        )
    yield "eligible", True, lambda table: eligible(table, experiment.audience)
    yield (
        "not suppressed",
        lists.suppressed is not None,
        lambda table: _not_in(table, read_frame(lists.suppressed, what="suppressed units")[UNIT]),
    )
    yield (
        "not excluded",
        lists.excluded is not None,
        lambda table: _not_in(table, excluded_units(lists.excluded)),
    )
    yield (
        "in the layer",
        plan.layer is not None,
        lambda table: inside_layer(table, experiment),
    )
    yield (
        "below the caps",
        bool(plan.contact_caps),
        lambda table: below_caps(
            table[UNIT], experiment, contacts=lists.contacts, earlier=earlier, window=window
        ),
    )
    yield (
        "exposed",
        share < 1,
        lambda table: is_exposed(table[drawn_id], experiment, share=share),
    )


def _not_in(table: pd.DataFrame, units: pd.Series) -> Mask:
    return np.asarray(rows_by_id(table[UNIT], among=units) < 0)


def _earlier(experiment: Experiment, earlier: Any) -> pd.DataFrame | None:
    """Earlier assignments, each wave's checked as an assignment of the experiment."""
    if earlier is None:
        return None
    needed = ["arm", "propensity", "stratum", "cluster", "layer_slot", "assigned_at"]
    table = read_frame(earlier, what="earlier assignment", require=needed)
    for _, wave in table.groupby("assigned_at", sort=False):
        checked_assignment(experiment, wave)
    return table
