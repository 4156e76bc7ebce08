"""What a small campaign is fed with, and ways to make one thing of it bad."""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

import uplift as up
from tests.plans import share_of, spend_plan
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

DEFINITION = spend_plan(
    secondary=(share_of("buyer", "Buyers", "bought") + "\n      expected_mean: 0.5",),
    analysis="looks_days: [7]",
)
N_UNITS = 400
SUPPRESSION = "# generated_at: {made}\nunit\nnobody-of-these\n"  # {made}: an hour before it is read
SHORTEST_ID = 6  # of those that are looked for in messages: shorter ones are there by chance


@dataclass
class Inputs:
    """Everything that the steps read; a case changes one thing.

    rules        for what can be read in two ways
    name, who    arguments of commands
    asked        the unit that a sender asks for
    suppression  text of the list; None is no file
    sent         contacts made before an assignment is adopted
    contacts     the log of contacts beside an analysis, or before a wave
    body         JSON text, in place of a file of that form
    fit          further words of a learner's `fit`, or the trial's own propensity
    """

    definition: str = DEFINITION
    customers: pd.DataFrame | bytes = field(default_factory=pd.DataFrame)
    assigned: pd.DataFrame = field(default_factory=pd.DataFrame)
    outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)
    rules: dict[str, Any] = field(default_factory=dict)
    policy: str = ""
    as_of: str = "2018-01-01"
    name: str = "voucher"
    who: str = "ann"
    asked: str = "c000001"
    suppression: str | None = SUPPRESSION
    sent: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    body: str = ""
    fit: dict[str, Any] = field(default_factory=dict)

    @property
    def experiment(self):
        return experiment_from(parse_yaml(self.definition))

    @property
    def usual(self) -> bool:
        """Whether the customers are those of the stages, whose arms are drawn already."""
        usual = _made(N_UNITS, None).customers
        return isinstance(self.customers, pd.DataFrame) and self.customers.equals(usual)

    @property
    def ids(self) -> set[str]:
        """Every id in the tables, as text that must be in no message."""
        tables = [self.customers, self.assigned, self.outcomes, self.sent, self.contacts]
        found = {
            str(unit)
            for table in tables
            if isinstance(table, pd.DataFrame) and "unit" in table
            for unit in table["unit"].dropna()
        }
        return {unit for unit in found if len(unit.strip()) >= SHORTEST_ID}


def good_inputs(n_units=N_UNITS, *, share_of_control=None) -> Inputs:
    """Inputs in which nothing is wrong; each call gives tables of its own."""
    made = _made(n_units, share_of_control)
    own = {one.name: getattr(made, one.name) for one in fields(made)}
    own = {k: v.copy() if isinstance(v, pd.DataFrame | dict) else v for k, v in own.items()}
    return Inputs(**own)


@functools.cache
def _made(n_units, share_of_control) -> Inputs:
    rng = np.random.default_rng(1)
    customers = pd.DataFrame(
        {
            "unit": [f"c{i:06d}" for i in range(n_units)],
            "spend_before": rng.gamma(2, 3, n_units),
            "age": rng.integers(18, 80, n_units),
        }
    )
    inputs = Inputs(customers=customers)
    inputs.assigned = up.assign(inputs.experiment, customers)
    if share_of_control is not None:
        n_control = int(n_units * share_of_control)
        inputs.assigned["arm"] = ["control"] * n_control + ["email"] * (n_units - n_control)
    inputs.outcomes = pd.DataFrame(
        {
            "unit": inputs.assigned["unit"],
            "spend": (rng.gamma(2, 5, n_units) + 4 * (inputs.assigned["arm"] == "email")).round(2),
            "bought": rng.integers(0, 2, n_units),
        }
    )
    return inputs


# How an input is made bad. Each gives a function that changes inputs in place.

Change = Callable[[Inputs], None]


def all_of(*changes: Change) -> Change:
    def change(inputs):
        for one in changes:
            one(inputs)

    return change


def options(**values) -> Change:
    def change(inputs):
        vars(inputs).update(values)

    return change


def rules(**words) -> Change:
    def change(inputs):
        inputs.rules |= words

    return change


def defined(old, new, *more) -> Change:
    """Texts of the definition replaced, in pairs."""
    pairs = [(old, new), *zip(more[::2], more[1::2], strict=True)]

    def change(inputs):
        for one, other in pairs:
            assert one in inputs.definition, one
            inputs.definition = inputs.definition.replace(one, other, 1)

    return change


def csv(content: bytes) -> Change:
    return options(customers=content)


def ids(table, *new) -> Change:
    """The first ids of a table are others."""

    def change(inputs):
        if table == "suppression":
            rows = "".join(f'"{unit}"\n' for unit in new)
            inputs.suppression = SUPPRESSION + rows
            return
        if table == "sent" and inputs.sent is None:
            treated = inputs.assigned["arm"] == "email"
            inputs.sent = inputs.assigned.loc[treated, ["unit"]].reset_index(drop=True)
        frame = getattr(inputs, table).copy()
        frame["unit"] = [*new, *frame["unit"].tolist()[len(new) :]]
        setattr(inputs, table, frame)

    return change


def same_ids(old, new) -> Change:
    """One id is another in every table, as a company would have it."""

    def change(inputs):
        for table in ("customers", "assigned", "outcomes"):
            frame = getattr(inputs, table)
            frame["unit"] = frame["unit"].replace(old, new)

    return change


def column(name, value, *, rows=1, table="outcomes") -> Change:
    """A value in the first rows of a column; None leaves a gap, "all" takes every row."""

    def change(inputs):
        frame = getattr(inputs, table).copy()
        values = frame[name].tolist()
        count = len(values) if rows == "all" else rows
        values[:count] = [value] * count
        frame[name] = values
        setattr(inputs, table, frame)

    return change


def repeated(table, **other) -> Change:
    """The first row once more, with other values where given."""

    def change(inputs):
        frame = getattr(inputs, table)
        more = frame.head(1).assign(**{k: v(frame) for k, v in other.items()})
        setattr(inputs, table, pd.concat([frame, more], ignore_index=True))

    return change


def other_arm(frame):
    return "email" if frame["arm"].iloc[0] == "control" else "control"


def as_text(name, form) -> Change:
    def change(inputs):
        inputs.outcomes[name] = [form.format(value) for value in inputs.outcomes[name]]

    return change


def by_arm(name, **values) -> Change:
    def change(inputs):
        arm = inputs.outcomes["unit"].map(inputs.assigned.set_index("unit")["arm"])
        inputs.outcomes[name] = arm.map(values).astype(float)

    return change


def lost(arm, count, *, missing="drop") -> Change:
    """The first outcomes of an arm are not there; `missing` says what that means."""

    def change(inputs):
        units = inputs.assigned.loc[inputs.assigned["arm"] == arm, "unit"].head(count)
        inputs.outcomes = inputs.outcomes[~inputs.outcomes["unit"].isin(units)]
        inputs.rules["missing"] = missing

    return change


def only(arm, count) -> Change:
    """So many units of an arm are left in the assignment and the outcomes."""

    def change(inputs):
        mine = inputs.assigned["arm"] == arm
        keep = ~mine | (mine.cumsum() <= count)
        inputs.assigned = inputs.assigned[keep].reset_index(drop=True)
        known = inputs.outcomes["unit"].isin(inputs.assigned["unit"])
        inputs.outcomes = inputs.outcomes[known].reset_index(drop=True)

    return change


def log_of_contacts(leaked=0, **columns) -> Change:
    """A log in which every treated unit was reached, and so many of the control; more columns."""

    def change(inputs):
        treated = inputs.assigned["arm"] == "email"
        leak = ~treated & ((~treated).cumsum() <= leaked)
        log = inputs.assigned.loc[treated | leak, ["unit"]].reset_index(drop=True)
        first = {name: [*value, *[value[-1]] * len(log)] for name, value in columns.items()}
        inputs.contacts = log.assign(**{name: v[: len(log)] for name, v in first.items()})

    return change


def of_customers(name, values) -> Change:
    """A column of what is known of the customers."""

    def change(inputs):
        inputs.customers = inputs.customers.assign(**{name: values(inputs)})

    return change


def without(name):
    def change(inputs):
        inputs.customers = inputs.customers.drop(columns=name)

    return change


def turned(inputs):
    inputs.customers = inputs.customers[inputs.customers.columns[::-1]]


def fitted_with(**words) -> Change:
    """Further words of a learner's `fit`: each a function of the inputs."""

    def change(inputs):
        inputs.fit |= {name: value(inputs) for name, value in words.items()}

    return change


def in_segments(of: Change) -> Change:
    """A column `region` of the customers, by which the plan reads segments."""
    planned = defined("looks_days: [7]}", "looks_days: [7], segments: [region]}")
    return all_of(planned, of)


def without_rows(table) -> Change:
    def change(inputs):
        setattr(inputs, table, getattr(inputs, table).head(0))

    return change


def occurred(*first, rest="2017-07-05T12:00") -> Change:
    """Outcomes have times: those of the first rows, and one for the others."""

    def change(inputs):
        n_rest = len(inputs.outcomes) - len(first)
        inputs.outcomes["occurred_at"] = [*first, *[rest] * n_rest]

    return change


def unbalanced(inputs):
    vars(inputs).update(vars(good_inputs(20_000, share_of_control=0.52)))


def no_rows(inputs):
    buffer = io.BytesIO()
    inputs.customers.head(0).to_csv(buffer, index=False)
    inputs.customers = buffer.getvalue()
