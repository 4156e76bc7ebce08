"""A/A on history: before the campaign, the arms must not differ on what it will be judged by.

The metrics of the plan are read in a window that closed before the launch, by the arms drawn since.
Nothing has been sent, so every difference is chance; a proven one means that the assignment is not
the random one it was planned to be.
"""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from uplift.assignment.balance import balance_of
from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame, require_rows, require_unique, rows_by_id
from uplift.inference.balance_tests import Balance, check_balance
from uplift.outcome_rows import as_numbers, refuse_not_finite
from uplift.table import Column, Result, Table
from uplift.trial import checked_assignment


@dataclass(frozen=True, repr=False)
class PlaceboReport(Result):
    """Differences between the arms before the campaign, and the verdict on them."""

    experiment: str
    digest: str
    n_units: int
    differences: tuple[Balance, ...]
    checks: tuple[Check, ...]

    def table(self) -> Table:
        """Each metric's column in each treatment beside the control's."""
        columns = (
            Column("outcome"),
            Column("arm"),
            Column("control mean", kind="number"),
            Column("treatment mean", kind="number"),
            Column("difference", kind="signed"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (
                one.covariate,
                one.arm,
                one.control_mean,
                one.treatment_mean,
                one.treatment_mean - one.control_mean,
                one.p_value,
            )
            for one in self.differences
        ]
        note = f"{self.n_units:,} assigned units, before the campaign. p values adjusted by Holm."
        return Table(f"A/A on history, {self.experiment}", columns, rows, note=note)

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        p_values = [one.p_value for one in self.differences]
        return {"placebo_smallest_p_value": min(p_values, default=1.0)}


def placebo_balance(
    experiment: Experiment,
    assigned: Any,
    history: Any,
    *,
    missing: Literal["refuse", "zero"] = "refuse",
) -> PlaceboReport:
    """Compare the arms on the planned outcomes of a window before the launch.

    history  `unit` and any of the experiment's outcome columns, one row per unit
    missing  what an assigned unit without a row means: an error, or that it did nothing (0)
    Errors: those of `checked_assignment`; EMPTY_INPUT, ID_DUPLICATE, OUTCOME_MISSING,
    OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE; COLUMN_MISSING when no outcome is there.
    """
    table = checked_assignment(experiment, assigned)
    require_rows(table, what="assignment")
    found = _history(experiment, table[UNIT], history, missing=missing)
    names = [name for name in experiment.outcome_columns if name in found.columns]
    differences = balance_of(experiment, table, found, names)
    return PlaceboReport(
        experiment=experiment.id,
        digest=experiment.digest,
        n_units=len(table),
        differences=differences,
        checks=tuple(check_balance(differences, name="placebo")),
    )


def _history(
    experiment: Experiment, units: pd.Series, history: Any, *, missing: str
) -> pd.DataFrame:
    """One row per assigned unit, in their order."""
    table = read_frame(history, what="history")
    require_unique(table[UNIT], what="history")
    names = [name for name in experiment.outcome_columns if name in table.columns]
    if not names:
        wanted = ", ".join(experiment.outcome_columns)
        raise DataError(
            f"history: none of the outcomes {wanted} is there (found: "
            f"{', '.join(map(str, table.columns[:12]))}). Name the columns as the metrics do.",
            code="COLUMN_MISSING",
        )
    row = rows_by_id(units, among=table[UNIT])
    absent = int((row < 0).sum())
    if absent and missing != "zero":
        raise DataError(
            f"history: {absent} assigned unit(s) have no row. Add them, or say missing='zero' "
            "when no row means that nothing happened.",
            code="OUTCOME_MISSING",
            column=UNIT,
            count=absent,
        )
    found = table.set_index(UNIT)[names].reindex(units, fill_value=0).reset_index(drop=True)
    for name in names:
        found[name] = as_numbers(found[name], name=name, what="history")
        refuse_not_finite(found[name].to_numpy(float), column=name)
    return found.assign(**{UNIT: units.to_numpy()})
