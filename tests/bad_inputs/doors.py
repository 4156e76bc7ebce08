"""Every place where a table of customers comes in: as a public function and as a command.

A door is told a table, good or bad, and gives the call, or the words of the command. What it is not
told stands in the project already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import uplift as up
from tests.bad_inputs.inputs import good_inputs
from tests.bad_inputs.steps import EXPORTED_AT, Words, folder_of
from uplift.assignment.order import held_out
from uplift.assignment.report import assignment_report
from uplift.campaign import Campaign
from uplift.eligibility import eligible, eligible_units, write_do_not_contact
from uplift.export.suppression import suppression_of
from uplift.lint import lint
from uplift.programme import Programme
from uplift.sizing.universal import choose_control_size

CONTROL = "everyone"
CONTROL_DEFINITION = """
id: everyone
title: Everyone
kind: universal_control
owner: crm
objective: profit
hypothesis: The programme pays.
audience: {description: Everyone}
arms: [{name: control, share: 0.25}, {name: programme, share: 0.75, unit_cost: 0}]
rotation: {cohorts: 2, every_days: 91, washout_days: 28}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 7,
             owner: crm}
    expected_mean: 10
    expected_std_dev: 5
    minimum_effect: 0.3
  no_guardrails_because: A test of refusals.
schedule: {starts_at: 2017-05-01T08:00:00, timezone: Europe/Paris, response_days: 91}
analysis: {decision_rule: Keep what pays., looks_days: [91]}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""
ROTATED_ON, READ_ON = "2017-05-01T08:00", "2017-07-24T08:00"
PRIOR = up.ProgrammePrior(0.4, 0.3)
EXPECTED = ("--profit", 0.4, "--profit-std-dev", 0.3)
NOW = datetime.now(UTC)
AS_OF = f"{EXPORTED_AT:%Y-%m-%dT%H:%MZ}"


@dataclass(frozen=True)
class Door:
    """A place where a table comes in.

    name     what the table is, and for which step
    stage    the project that the step finds (see `conftest.py`)
    good     gives a table that is let in
    call     the public function of a table and the project's folder; None where there is none
    words    the command of a table's file; None where there is none
    listed   the file is a suppression list, made an hour before this time
    """

    name: str
    stage: str
    good: Callable[[], pd.DataFrame]
    call: Callable[[Any, Path], Any] | None = None
    words: Callable[[Path], Words] | None = None
    listed: datetime | None = None


def customers() -> pd.DataFrame:
    return good_inputs().customers


def assigned() -> pd.DataFrame:
    return good_inputs().assigned


def outcomes() -> pd.DataFrame:
    return good_inputs().outcomes


def history() -> pd.DataFrame:
    """Customers with the outcomes of a window before the campaign."""
    return customers().merge(outcomes(), on="unit")


def long_outcomes() -> pd.DataFrame:
    """A response of every unit on every day of two weeks."""
    days = pd.date_range("2017-07-03T10:00Z", periods=21, freq="D")
    table = outcomes()
    return pd.concat([table.assign(occurred_at=day) for day in days], ignore_index=True)


def programme_outcomes() -> pd.DataFrame:
    """A response of every customer on every day since the control began."""
    days = pd.date_range("2017-05-01T10:00Z", READ_ON + "Z", freq="3D")
    table = outcomes()
    return pd.concat([table.assign(occurred_at=day) for day in days], ignore_index=True)


def sent() -> pd.DataFrame:
    """The log of contacts: every treated unit once."""
    table = assigned()
    units = table.loc[table["arm"] == "email", ["unit"]].reset_index(drop=True)
    return units.assign(sent_at="2017-07-03T09:00Z", campaign="voucher", status="delivered")


def earlier_contacts() -> pd.DataFrame:
    return customers()[["unit"]].head(9).assign(sent_at="2017-06-01T09:00Z", campaign="spring")


def nobody() -> pd.DataFrame:
    """Who must not be contacted: somebody whom the campaign does not know."""
    return pd.DataFrame({"unit": ["nobody-of-these"]})


def purchases() -> pd.DataFrame:
    table = customers()[["unit"]].head(50)
    return table.assign(
        occurred_at=pd.Timestamp("2017-06-01"),
        basket="b1",
        amount=9.5,
        discount=0.0,
        category="tea",
    )


def returns() -> pd.DataFrame:
    table = customers()[["unit"]].head(50)
    return table.assign(arm="email", cost=0.05, profit=np.linspace(-1, 2, 50))


def of(project: Path) -> Campaign:
    return Campaign(folder_of(project), who="ann")


def experiment():
    return good_inputs().experiment


def control(project: Path) -> Programme:
    return Programme(project / "experiments" / CONTROL, who="ann")


def root(project: Path) -> Path:
    return project / "experiments"


def units_in(table: Any) -> Any:
    return table["unit"] if isinstance(table, pd.DataFrame) and "unit" in table else []


def policy():
    return up.ContactPolicy.for_experiment(experiment())


DOORS = (
    # before the send
    Door(
        "history of design",
        "draft",
        history,
        lambda t, p: of(p).design(t),
        lambda f: ("design", "voucher", "--history", f),
    ),
    Door(
        "history of design with uplift power",
        "draft",
        history,
        lambda t, p: up.uplift_power(experiment(), t, n_units=1_000, n_simulations=20),
        lambda f: ("design", "voucher", "--history", f, "--uplift-power"),
    ),
    Door(
        "history of simulate",
        "draft",
        history,
        lambda t, p: of(p).simulate(t, n_replays=20, n_jobs=1),
        lambda f: ("simulate", "voucher", "--history", f, "--replays", 20, "--jobs", 1),
    ),
    Door(
        "history of lint",
        "draft",
        history,
        lambda t, p: lint(root(p), history=t),
        lambda f: ("lint", "voucher", "--history", f),
    ),
    Door(
        "customers of assign",
        "sealed",
        customers,
        lambda t, p: of(p).assign(t),
        lambda f: ("assign", "voucher", f),
    ),
    Door(
        "suppressed of assign",
        "sealed",
        nobody,
        lambda t, p: of(p).assign(customers(), suppressed=t),
        lambda f: ("assign", "voucher", "{customers}", "--suppressed", f),
    ),
    Door(
        "contacts of assign",
        "sealed",
        earlier_contacts,
        lambda t, p: of(p).assign(customers(), contacts=t),
        lambda f: ("assign", "voucher", "{customers}", "--contacts", f),
    ),
    Door(
        "excluded of assign", "sealed", nobody, lambda t, p: of(p).assign(customers(), excluded=t)
    ),
    Door(
        "suppressed of a ramp-up",
        "ramped",
        nobody,
        lambda t, p: of(p).ramp(1, suppressed=t),
        lambda f: ("assign", "voucher", "--exposure-share", 1, "--suppressed", f),
    ),
    Door(
        "customers of a wave",
        "waved",
        customers,
        lambda t, p: of(p).assign_wave("second", t, contacts=earlier_contacts()),
        lambda f: ("assign", "voucher", f, "--wave", "second", "--contacts", "{contacts}"),
    ),
    Door(
        "contacts of a wave",
        "waved",
        earlier_contacts,
        lambda t, p: of(p).assign_wave("second", customers(), contacts=t),
        lambda f: ("assign", "voucher", "{customers}", "--wave", "second", "--contacts", f),
    ),
    Door("customers of up.assign", "draft", customers, lambda t, p: up.assign(experiment(), t)),
    Door(
        "customers of assignment_report",
        "draft",
        customers,
        lambda t, p: assignment_report(experiment(), up.assign(experiment(), customers()), t),
    ),
    Door(
        "assigned of placebo_balance",
        "draft",
        assigned,
        lambda t, p: up.placebo_balance(experiment(), t, outcomes()),
    ),
    Door(
        "history of placebo_balance",
        "draft",
        outcomes,
        lambda t, p: up.placebo_balance(experiment(), assigned(), t),
    ),
    Door("assigned of held_out", "draft", assigned, lambda t, p: held_out(t)),
    Door("purchases of customer_view", "draft", purchases, lambda t, p: up.customer_view(t, AS_OF)),
    Door(
        "assigned of adopt",
        "sealed",
        lambda: assigned()[["unit", "arm"]],
        lambda t, p: of(p).adopt(t, customers()),
        lambda f: ("adopt", "voucher", f, "{customers}"),
    ),
    Door(
        "customers of adopt",
        "sealed",
        customers,
        lambda t, p: of(p).adopt(assigned()[["unit", "arm"]], t),
        lambda f: ("adopt", "voucher", "{assigned}", f),
    ),
    Door(
        "sent log of adopt",
        "sealed",
        sent,
        lambda t, p: of(p).adopt(assigned()[["unit", "arm"]], customers(), sent=t),
        lambda f: ("adopt", "voucher", "{assigned}", "{customers}", "--sent", f),
    ),
    # the send
    Door(
        "suppression of export",
        "assigned",
        nobody,
        lambda t, p: of(p).export(suppression_of(t, generated_at=EXPORTED_AT), as_of=EXPORTED_AT),
        lambda f: ("export", "voucher", "--as-of", AS_OF, "--suppression", f),
        listed=EXPORTED_AT,
    ),
    Door(
        "suppression of withdrawals",
        "exported",
        nobody,
        lambda t, p: of(p).export_withdrawals(
            suppression_of(t, generated_at=EXPORTED_AT), as_of=EXPORTED_AT
        ),
        lambda f: ("export", "voucher", "--delta", "--as-of", AS_OF, "--suppression", f),
        listed=EXPORTED_AT,
    ),
    Door(
        "suppressed of eligible",
        "assigned",
        nobody,
        lambda t, p: eligible("c000001", "voucher", root=root(p), suppressed=t, as_of=EXPORTED_AT),
        lambda f: ("eligible", "c000001", "voucher", "--suppressed", f),
        listed=NOW,
    ),
    Door(
        "units of eligible_units",
        "assigned",
        customers,
        lambda t, p: eligible_units(units_in(t), "voucher", root=root(p), as_of=EXPORTED_AT),
    ),
    Door(
        "suppressed of do-not-contact",
        "assigned",
        nobody,
        lambda t, p: write_do_not_contact(
            p / "list.csv", "voucher", root=root(p), suppressed=t, as_of=EXPORTED_AT
        ),
        lambda f: ("do-not-contact", "voucher", "{list}", "--suppressed", f),
        listed=NOW,
    ),
    # after it
    Door(
        "outcomes of ingest",
        "assigned",
        outcomes,
        lambda t, p: of(p).ingest(t),
        lambda f: ("ingest", "voucher", f),
    ),
    Door(
        "assigned of Trial.join",
        "draft",
        assigned,
        lambda t, p: up.Trial.join(experiment(), t, outcomes(), customers()),
    ),
    Door(
        "outcomes of Trial.join",
        "draft",
        outcomes,
        lambda t, p: up.Trial.join(experiment(), assigned(), t, customers()),
    ),
    Door(
        "customers of Trial.join",
        "draft",
        customers,
        lambda t, p: up.Trial.join(experiment(), assigned(), outcomes(), t),
    ),
    Door(
        "assigned of up.analyse",
        "draft",
        assigned,
        lambda t, p: up.analyse(experiment(), t, outcomes(), customers()),
    ),
    Door(
        "outcomes of up.analyse",
        "draft",
        outcomes,
        lambda t, p: up.analyse(experiment(), assigned(), t, customers()),
    ),
    Door(
        "customers of up.analyse",
        "draft",
        customers,
        lambda t, p: up.analyse(experiment(), assigned(), outcomes(), t),
    ),
    Door(
        "contacts of up.analyse",
        "draft",
        sent,
        lambda t, p: up.analyse(experiment(), assigned(), outcomes(), customers(), contacts=t),
    ),
    Door(
        "contacts of uplift contacts",
        "assigned",
        sent,
        lambda t, p: of(p).keep_contacts(t),
        lambda f: ("contacts", "voucher", f),
    ),
    Door(
        "contacts of uplift analyse",
        "maturing",
        sent,
        lambda t, p: of(p).analyse(contacts=t),
        lambda f: ("analyse", "voucher", "--contacts", f),
    ),
    Door(
        "outcomes of reread",
        "read",
        long_outcomes,
        lambda t, p: of(p).reread(t, days=[7], as_of=READ_ON),
        lambda f: ("reread", "voucher", f, "--days", "7", "--as-of", READ_ON),
    ),
    Door(
        "assigned of up.reread",
        "draft",
        assigned,
        lambda t, p: up.reread(experiment(), t, long_outcomes(), days=[7], as_of=READ_ON),
    ),
    Door(
        "outcomes of market",
        "read",
        long_outcomes,
        lambda t, p: of(p).market_shock(t, since="2017-07-07", as_of="2017-07-12"),
        lambda f: ("market", "voucher", f, "--since", "2017-07-07", "--as-of", "2017-07-12"),
    ),
    Door(
        "assigned of up.market_shock",
        "draft",
        assigned,
        lambda t, p: up.market_shock(
            experiment(), t, long_outcomes(), since="2017-07-07", as_of="2017-07-12"
        ),
    ),
    Door(
        "history of surrogate_index",
        "draft",
        history,
        lambda t, p: up.surrogate_index(t, surrogates=["age", "spend_before"], outcome="spend"),
    ),
    # decisions
    Door("returns of plan_contacts", "draft", returns, lambda t, p: up.plan_contacts(t, policy())),
    Door(
        "suppressed of plan_contacts",
        "draft",
        nobody,
        lambda t, p: up.plan_contacts(returns(), policy(), suppressed=t),
    ),
    # the universal control
    Door(
        "history of control size",
        "control",
        history,
        lambda t, p: control(p).size(t, prior=PRIOR, wanted_effect=5.0),
        lambda f: ("control", "size", CONTROL, "--history", f, "--effect", 5.0, *EXPECTED),
    ),
    Door(
        "history of choose_control_size",
        "control",
        history,
        lambda t, p: choose_control_size(control(p).experiment, t, prior=PRIOR, wanted_effect=5.0),
    ),
    Door(
        "customers of control rotate",
        "control",
        customers,
        lambda t, p: control(p).rotate(t, as_of=ROTATED_ON),
        lambda f: ("control", "rotate", CONTROL, f, "--as-of", ROTATED_ON),
    ),
    Door(
        "customers of control check",
        "rotated",
        customers,
        lambda t, p: control(p).check(t, as_of=READ_ON),
        lambda f: ("control", "check", CONTROL, f, "--as-of", READ_ON),
    ),
    Door(
        "outcomes of control total",
        "rotated",
        programme_outcomes,
        lambda t, p: control(p).total(t, as_of=READ_ON),
        lambda f: ("control", "total", CONTROL, f, "--as-of", READ_ON),
    ),
)

SLOW_DOORS = (
    Door(
        "customers of score",
        "promoted",
        customers,
        lambda t, p: of(p).score(t),
        lambda f: ("score", "voucher", f),
    ),
)
