"""The entry points that meet a case: each as a public function and as a command.

A step puts its inputs where it reads them, then gives the call, or the words of the command.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import uplift as up
from tests.bad_inputs.inputs import N_UNITS, Inputs, good_inputs
from uplift.assignment.report import assignment_report
from uplift.campaign import Campaign
from uplift.checks import Check
from uplift.eligibility import eligible, write_do_not_contact
from uplift.evaluation.held_out import evaluate_model
from uplift.experiment import load_experiment
from uplift.lint import lint
from uplift.models.learners import TLearner
from uplift.registry.contents import insert_rows
from uplift.registry.registry import Registry
from uplift.registry.tables import leases
from uplift.strict_json import parse_json
from uplift.table import Column, Result, Table

EXPORTED_AT = datetime(2017, 7, 3, 6, tzinfo=UTC)
Call = Callable[[], Any]
Words = tuple[Any, ...]


@dataclass(frozen=True)
class Step:
    """An entry point.

    stage    the project that it finds (see `conftest.py`); one that has its arms drawn is found
             before the draw when its customers are others
    call     the public function, made ready; None where there is none
    words    the command, without --root; None where there is none
    reports  a refusal is a line of its report, with exit 1, as a lint has it
    alerts   a refusal leaves a row in the trail, for somebody must look
    """

    stage: str
    call: Callable[[Inputs, Path], Call] | None = None
    words: Callable[[Inputs, Path], Words] | None = None
    reports: bool = False
    alerts: bool = False

    def stage_for(self, inputs: Inputs) -> str:
        """The stage that a test of these inputs begins from."""
        begun = {"drawn": "assigned", "exported": "exported"}
        if self.stage not in begun:
            return self.stage
        return begun[self.stage] if inputs.usual else "sealed"


def folder_of(project: Path) -> Path:
    return project / "experiments" / "voucher"


def campaign(inputs: Inputs, project: Path) -> Campaign:
    return Campaign(folder_of(project), who=inputs.who, rules=dict(inputs.rules))


def flags(inputs: Inputs) -> Words:
    """The rules as options."""
    told = [(f"--{name.replace('_', '-')}", word) for name, word in inputs.rules.items()]
    return tuple(part for name, word in told for part in ([name] if word is True else [name, word]))


def write_definition(inputs: Inputs, project: Path) -> None:
    (folder_of(project) / "experiment.yaml").write_text(inputs.definition)


def customers_file(inputs: Inputs, project: Path) -> Path:
    if isinstance(inputs.customers, bytes):
        file = project / "customers.csv"
        file.write_bytes(inputs.customers)
        return file
    return parquet(inputs.customers, project / "customers.parquet")


def parquet(frame: pd.DataFrame, file: Path) -> Path:
    frame.to_parquet(file)
    return file


def suppression_file(inputs: Inputs, project: Path, now: datetime) -> Path | None:
    """The suppression list, made an hour before it is read."""
    if inputs.suppression is None:
        return None
    file = project / "suppression.csv"
    made = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    file.write_bytes(inputs.suppression.replace("{made}", made).encode("utf-8"))
    return file


def option(name: str, value: Any) -> Words:
    return () if value is None else (name, value)


# Definitions.


def define_call(inputs, project):
    write_definition(inputs, project)
    return lambda: load_experiment(folder_of(project))


def define_words(inputs, project):
    write_definition(inputs, project)
    return ("design", "voucher", "--n-units", 1_000)


def lint_call(inputs, project):
    write_definition(inputs, project)
    return lambda: lint(project / "experiments")


def lint_words(inputs, project):
    write_definition(inputs, project)
    return ("lint",)


def design_call(inputs, project):
    file = customers_file(inputs, project)
    return lambda: campaign(inputs, project).design(file)


def design_words(inputs, project):
    return ("design", "voucher", "--history", customers_file(inputs, project))


def with_body(inputs, project):
    if inputs.body:
        (folder_of(project) / "design.json").write_text(inputs.body)


def seal_call(inputs, project):
    write_definition(inputs, project)
    with_body(inputs, project)
    return lambda: campaign(inputs, project).seal()


def seal_words(inputs, project):
    write_definition(inputs, project)
    with_body(inputs, project)
    return ("seal", "voucher", "--who", inputs.who)


# Assignment.


def assign_call(inputs, project):
    file, trim = customers_file(inputs, project), bool(inputs.rules.get("trim"))
    source = file if isinstance(inputs.customers, bytes) else inputs.customers

    def call():
        assigned = up.assign(inputs.experiment, source, trim=trim)
        return assignment_report(inputs.experiment, assigned, source, trim=trim)

    return call


def assign_words(inputs, project):
    return ("assign", "voucher", customers_file(inputs, project), *flags(inputs))


def assign_under_call(inputs, project):
    file = customers_file(inputs, project)
    write_definition(inputs, project)
    return lambda: campaign(inputs, project).assign(file)


def assign_under_words(inputs, project):
    words = assign_words(inputs, project)
    write_definition(inputs, project)
    return words


def assign_suppressed_call(inputs, project):
    file = customers_file(inputs, project)
    suppressed = suppression_file(inputs, project, EXPORTED_AT)
    return lambda: campaign(inputs, project).assign(file, suppressed=suppressed)


def assign_suppressed_words(inputs, project):
    suppressed = suppression_file(inputs, project, EXPORTED_AT)
    return (*assign_words(inputs, project), *option("--suppressed", suppressed))


WAVES = """
  waves:
    - {name: first, starts_at: 2017-07-03T08:00:00}
    - {name: second, starts_at: 2017-07-17T08:00:00}
assignment: {contact_caps: [{max_contacts: 9, window_days: 30}]}
"""


def with_waves(definition: str) -> str:
    """The definition with a second wave, and a cap on contacts."""
    old = "schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 7}\n"
    new = "schedule:\n  starts_at: 2017-07-03T08:00:00\n  timezone: Europe/Paris\n"
    return definition.replace(old, f"{new}  response_days: 7{WAVES}")


def two_waves(inputs, project) -> Words:
    """A campaign whose first wave is assigned; gives what the second one is told."""
    inputs.definition = with_waves(inputs.definition)
    write_definition(inputs, project)
    customers = customers_file(inputs, project)
    contacts = parquet(inputs.contacts, project / "contacts.parquet")
    one = campaign(inputs, project)
    one.design(n_units=1_000)
    one.seal()
    one.assign(customers, contacts=inputs.contacts.head(0))
    return customers, contacts


def wave_call(inputs, project):
    customers, contacts = two_waves(inputs, project)
    return lambda: campaign(inputs, project).assign_wave("second", customers, contacts=contacts)


def wave_words(inputs, project):
    customers, contacts = two_waves(inputs, project)
    return ("assign", "voucher", customers, "--wave", "second", "--contacts", contacts)


def adopted(inputs, project) -> tuple[Path, Path, Path | None]:
    write_definition(inputs, project)
    assigned = parquet(inputs.assigned[["unit", "arm"]], project / "assigned.parquet")
    customers = customers_file(inputs, project)
    sent = None if inputs.sent is None else parquet(inputs.sent, project / "sent.parquet")
    return assigned, customers, sent


def adopt_call(inputs, project):
    assigned, customers, sent = adopted(inputs, project)
    return lambda: campaign(inputs, project).adopt(assigned, customers, sent=sent)


def adopt_words(inputs, project):
    assigned, customers, sent = adopted(inputs, project)
    return ("adopt", "voucher", assigned, customers, *option("--sent", sent), *flags(inputs))


# Outcomes.


def ingest_call(inputs, project):
    tables = (inputs.assigned, inputs.outcomes, inputs.customers)
    return lambda: up.Trial.join(inputs.experiment, *tables, **inputs.rules)


def analyse_call(inputs, project):
    tables = (inputs.assigned, inputs.outcomes, inputs.customers)
    return lambda: up.analyse(
        inputs.experiment, *tables, as_of=inputs.as_of, contacts=inputs.contacts, **inputs.rules
    )


def in_the_folder(inputs, project):
    """Assignment and customers as if the steps before had left them so."""
    folder = folder_of(project)
    parquet(inputs.customers, folder / "customers.parquet")
    parquet(inputs.assigned, folder / "assignment.parquet")
    write_definition(inputs, project)


def ingest_words(inputs, project):
    in_the_folder(inputs, project)
    outcomes = parquet(inputs.outcomes, project / "outcomes.parquet")
    return ("ingest", "voucher", outcomes, *flags(inputs))


def analyse_words(inputs, project):
    in_the_folder(inputs, project)
    parquet(inputs.outcomes, folder_of(project) / "outcomes.parquet")
    return ("analyse", "voucher", *flags(inputs), "--as-of", inputs.as_of)


def contacts_call(inputs, project):
    in_the_folder(inputs, project)
    log = inputs.contacts
    return lambda: campaign(inputs, project).keep_contacts(log)


def contacts_words(inputs, project):
    in_the_folder(inputs, project)
    return ("contacts", "voucher", parquet(inputs.contacts, project / "log.parquet"))


def analyse_by_contacts_words(inputs, project):
    words = analyse_words(inputs, project)
    return (*words, "--contacts", parquet(inputs.contacts, project / "log.parquet"))


def whole_road_words(inputs, project):
    """The analysis of a campaign by its own definition, with the steps before it done."""
    write_definition(inputs, project)
    one = campaign(inputs, project)
    one.design(n_units=1_000)
    one.seal()
    one.assign(inputs.customers)
    one.ingest(inputs.outcomes)
    return ("analyse", "voucher", "--as-of", inputs.as_of)


def among_call(inputs, project):
    analyse_words(inputs, project)
    return lambda: campaign(inputs, project).analyse(among="opened")


def among_words(inputs, project):
    return (*analyse_words(inputs, project), "--among", "opened")


def ingest_under_call(inputs, project):
    ingest_words(inputs, project)
    return lambda: campaign(inputs, project).ingest(inputs.outcomes)


def analyse_under_call(inputs, project):
    analyse_words(inputs, project)
    return lambda: campaign(inputs, project).analyse(as_of=inputs.as_of)


def train_call(inputs, project):
    write_definition(inputs, project)
    return lambda: campaign(inputs, project).train(["t"])


def train_words(inputs, project):
    write_definition(inputs, project)
    return ("train", "voucher", "--learners", "t")


def trial_of(inputs) -> up.Trial:
    """The trial of these inputs, with another propensity where the inputs have one."""
    joined = up.Trial.join(inputs.experiment, inputs.assigned, inputs.outcomes, inputs.customers)
    given = {name: value for name, value in inputs.fit.items() if name == "propensity"}
    return replace(joined, **given) if given else joined


def learn_call(inputs, project):
    return lambda: up.train(trial_of(inputs), ["t"], n_folds=2)


def learn_words(inputs, project):
    inputs.customers.to_parquet(folder_of(project) / "customers.parquet")
    return ("train", "voucher", "--learners", "t")


def fit_call(inputs, project):
    units = inputs.assigned.merge(inputs.outcomes, on="unit").merge(inputs.customers, on="unit")
    arm = (units["arm"] == "email").astype(int).to_numpy()
    words = {"treatment": arm, **inputs.fit}
    learner = TLearner(n_rounds=10)
    return lambda: learner.fit(units[["age", "spend_before"]], units["spend"], **words)


@dataclass(frozen=True, repr=False)
class Predicted(Result):
    """Effects of customers by a model of the good ones, and what it was warned of."""

    effects: list[float]
    checks: tuple[Check, ...]

    def table(self) -> Table:
        return Table("Effects", [Column("effect", kind="number")], [(x,) for x in self.effects])


def predict_call(inputs, project):
    """A model of the good customers, some of them from the web, meets these."""
    good = good_inputs()
    channel = np.where(np.arange(N_UNITS) % 2, "web", "shop")
    good.customers["channel"] = channel
    if "channel" not in inputs.customers:
        inputs.customers["channel"] = channel
    model = up.train(trial_of(good), ["t"], n_folds=2).candidates["t"].model
    expected = model.predict(good.customers)

    def call():
        effects = model.predict(inputs.customers)
        if not inputs.fit.get("others"):
            np.testing.assert_array_equal(effects, expected)
        return Predicted(effects[:, 0].tolist(), model.encoder_.unseen(inputs.customers))

    return call


def judge_call(inputs, project):
    trial = trial_of(inputs)
    suite = up.train(trial, ["t"], n_folds=2)
    return lambda: evaluate_model(suite.best.model, trial, trained_on=inputs.fit["trained_on"])


def evaluate_call(inputs, project):
    write_definition(inputs, project)
    return lambda: campaign(inputs, project).evaluate()


def evaluate_words(inputs, project):
    write_definition(inputs, project)
    return ("evaluate", "voucher")


def report_words(inputs, project):
    write_definition(inputs, project)
    return ("report", "voucher")


def score_call(inputs, project):
    file = customers_file(inputs, project)
    return lambda: campaign(inputs, project).score(file)


def score_words(inputs, project):
    return ("score", "voucher", customers_file(inputs, project))


# Lists, and senders outside.


def drawn(inputs, project):
    """The arms of these customers, drawn by the definition that was sealed."""
    if not inputs.usual:
        campaign(inputs, project).assign(customers_file(inputs, project))
    write_definition(inputs, project)


def export_call(inputs, project):
    drawn(inputs, project)
    file = suppression_file(inputs, project, EXPORTED_AT)
    at = EXPORTED_AT if inputs.as_of == Inputs.as_of else inputs.as_of
    return lambda: campaign(inputs, project).export(file, as_of=at)


def export_words(inputs, project):
    drawn(inputs, project)
    file = suppression_file(inputs, project, EXPORTED_AT)
    at = EXPORTED_AT.isoformat() if inputs.as_of == Inputs.as_of else inputs.as_of
    return ("export", "voucher", "--as-of", at, *option("--suppression", file))


def exported(inputs, project) -> Path | None:
    assert inputs.usual, "the lists of the stage are those of its customers"
    write_definition(inputs, project)
    return suppression_file(inputs, project, EXPORTED_AT)


def withdraw_call(inputs, project):
    file = exported(inputs, project)
    return lambda: campaign(inputs, project).export_withdrawals(file, as_of=EXPORTED_AT)


def withdraw_words(inputs, project):
    file = exported(inputs, project)
    at = EXPORTED_AT.isoformat()
    return ("export", "voucher", "--delta", "--as-of", at, *option("--suppression", file))


def eligible_call(inputs, project):
    drawn(inputs, project)
    file, root = suppression_file(inputs, project, EXPORTED_AT), project / "experiments"
    asked = {"root": root, "suppressed": file, "as_of": EXPORTED_AT}
    return lambda: eligible(inputs.asked, inputs.name, **asked)


def eligible_words(inputs, project):
    drawn(inputs, project)
    file = suppression_file(inputs, project, datetime.now(UTC))
    return ("eligible", *option("--suppressed", file), "--", inputs.asked, inputs.name)


def no_contact_call(inputs, project):
    drawn(inputs, project)
    file, root = suppression_file(inputs, project, EXPORTED_AT), project / "experiments"
    asked = {"root": root, "suppressed": file, "as_of": EXPORTED_AT}
    return lambda: write_do_not_contact(project / "list.csv", inputs.name, **asked)


def no_contact_words(inputs, project):
    drawn(inputs, project)
    file = suppression_file(inputs, project, datetime.now(UTC))
    words = ("do-not-contact", inputs.name, project / "list.csv")
    return (*words, *option("--suppressed", file))


# Names, JSON and rows that no other step takes.


def by_name(*words: str, call: Callable[[str, Path], Any]):
    return Step(
        "sealed",
        lambda inputs, project: lambda: call(inputs.name, project / "experiments"),
        lambda inputs, project: tuple(inputs.name if w == "NAME" else w for w in words),
    )


def row_call(**values):
    """A row of the registry, as a program beside this one would write it."""

    def make(inputs, project):
        registry = Registry(project / "experiments")

        def call():
            with registry._database.write("lease") as connection:
                insert_rows(connection, leases, [{**LEASE, **values}])

        return call

    return make


LEASE = {"name": "export", "holder": "me", "fencing": 1, "expires_at": "2026-01-01"}

STEPS = {
    "define": Step("draft", define_call, define_words),
    "lint": Step("draft", lint_call, lint_words, reports=True),
    "lint sealed": Step("sealed", lint_call, lint_words, reports=True),
    "design": Step("draft", design_call, design_words),
    "seal": Step("designed", seal_call, seal_words),
    "seal again": Step("sealed", seal_call, seal_words),
    "assign": Step("sealed", assign_call, assign_words),
    "assign under another definition": Step("sealed", assign_under_call, assign_under_words),
    "assign --suppressed": Step("sealed", assign_suppressed_call, assign_suppressed_words),
    "assign --wave": Step("draft", wave_call, wave_words),
    "adopt": Step("sealed", adopt_call, adopt_words),
    "ingest": Step("assigned", ingest_call, ingest_words),
    "ingest under another definition": Step("assigned", ingest_under_call, ingest_words),
    "analyse": Step("maturing", analyse_call, analyse_words),
    "analyse under another definition": Step("maturing", analyse_under_call, analyse_words),
    "contacts": Step("assigned", contacts_call, contacts_words),
    "analyse with contacts": Step("maturing", analyse_call, analyse_by_contacts_words),
    "analyse among openers": Step("maturing", among_call, among_words),
    "analyse by segment": Step("draft", analyse_call, whole_road_words),
    "train": Step("trained", train_call, train_words),
    "learn": Step("maturing", learn_call, learn_words),
    "learn in memory": Step("draft", learn_call),
    "fit": Step("draft", fit_call),
    "predict": Step("draft", predict_call),
    "judge": Step("draft", judge_call),
    "evaluate": Step("trained", evaluate_call, evaluate_words),
    "report": Step("maturing", None, report_words),
    "score": Step("promoted", score_call, score_words),
    "export": Step("drawn", export_call, export_words, alerts=True),
    "export --delta": Step("exported", withdraw_call, withdraw_words, alerts=True),
    "eligible": Step("drawn", eligible_call, eligible_words),
    "do-not-contact": Step("drawn", no_contact_call, no_contact_words),
    "status": by_name("status", "NAME", call=lambda name, root: Registry(root).entry(name)),
    "lint NAME": by_name("lint", "NAME", call=lambda name, root: lint(root, [name])),
    "child": by_name("child", "NAME", "new", call=lambda name, root: Registry(root).state(name)),
    "control": by_name(
        "control", "members", "NAME", call=lambda name, root: Registry(root).definition(name)
    ),
    "parse": Step("draft", lambda inputs, project: lambda: parse_json(inputs.body)),
    "row of 2^63": Step("sealed", row_call(fencing=2**63)),
    "row of text": Step("sealed", row_call(fencing="abc")),
}
