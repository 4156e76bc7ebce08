"""The road itself: one short method per step, joining the rooms.

A `Campaign` is an experiment's folder with its registry. Each step reads what the steps before it
wrote, writes its own file whole, and records its digest; run twice, it ends in the same state.
Commands and the demo call these methods; notebooks may, or use the rooms one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.adoption import failures_taken_over, require_sent_as_assigned, with_failures
from uplift.amendments import Amendment
from uplift.analysis.analyse import analyse
from uplift.analysis.long_term_report import LongTermReport
from uplift.analysis.look_record import looks_from, looks_text, with_look
from uplift.analysis.looks import Look
from uplift.analysis.market_reading import MarketReport, market_shock
from uplift.analysis.maturity import mature_units
from uplift.analysis.report import AnalysisReport
from uplift.analysis.waves import is_redrawn, outcomes_of_waves
from uplift.assigned import FIRST, Assigned
from uplift.assignment.assign import assign_from
from uplift.assignment.order import Lists, distinct_customers, excluded_units, held_out
from uplift.assignment.report import AssignmentReport, assignment_report
from uplift.checks import Check
from uplift.contacts.plan import ContactPlan, plan_contacts
from uplift.contacts.policy import ContactPolicy, load_policy
from uplift.errors import DefinitionError, StateError
from uplift.evaluation.quality import Quality, evaluate
from uplift.evaluation.roi import Roi, roi
from uplift.experiment import CATALOGUE_FILE, DEFINITION_FILE, Experiment, load_experiment
from uplift.export.export import export_wave, export_withdrawals
from uplift.export.job import ExportOptions
from uplift.export.report import ExportReport
from uplift.export.suppression import is_suppression_list, listed_units
from uplift.files import whole_file, write_text
from uplift.frames import UNIT, read_frame, write_parquet
from uplift.kept_holdout import REREADS, KeptHoldout
from uplift.metrics import MetricCatalogue
from uplift.models.store import load_suite, save_suite
from uplift.models.train import train
from uplift.promotion import Promotion, promote, rollback
from uplift.reading_rules import REFUSE_ALL, ReadingRules, RuleWords, all_as_told, as_told
from uplift.registry.lineage import child_of, child_text
from uplift.registry.memberships import control_units
from uplift.registry.pooling import priors_of
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.rehearsal.result import Rehearsal
from uplift.rehearsal.simulate import simulate_plan
from uplift.scoring import Scored, score
from uplift.sizing.plan import design
from uplift.sizing.result import Design
from uplift.strict_json import parse_json
from uplift.suite import Suite
from uplift.table import Result, canonical_json
from uplift.tracking.runs import Run, log_run
from uplift.tracking.store import Tracking
from uplift.trial import Trial, settled_assignment

LEARNERS = ("s", "t", "x", "dr", "response")
FILES = {  # what each step writes in the experiment's folder
    "design": "design.json",
    "rehearse": "rehearsal.json",
    "customers": "customers.parquet",
    "assign": FIRST,
    "assignment": "assignment.json",
    "ingest": "outcomes.parquet",
    "rules": "reading.json",
    "looks": "looks.jsonl",
    "analyse": "analysis.json",
    "reread": REREADS,
    "train": "suite",
    "evaluate": "quality.json",
    "roi": "roi.parquet",
    "plan": "plan.parquet",
    "certificate": "plan.json",
    "score": "scores.parquet",
    "report": "report.html",
}
POLICY_FILE = "contact_policy.yaml"
NEXT_COMMAND = {
    "draft": "uplift seal",
    "sealed": "uplift assign",
    "assigned": "uplift export",
    "live": "uplift ingest",
    "maturing": "uplift analyse",
    "read": "uplift evaluate",
    "decided": "nothing; the experiment has its decision",
    "archived": "nothing; the experiment is archived",
}


@dataclass(frozen=True)
class _Written:
    """A result as it stands in its file."""

    text: str

    def to_json(self) -> str:
        """The text of the file."""
        return self.text


@dataclass
class Campaign:
    """An experiment's folder, walked step by step.

    folder   holds `experiment.yaml` and everything the steps write
    who      name for the audit trail; the system's user when not given
    rules    for what can be read in two ways (see `ReadingRules`), e.g. {"missing": "zero"}; what
             is not told here is read as it was told when the outcomes were ingested
    figures  by file name, SVG text or PNG bytes, logged with the run
    planned  the design, when it was made in this session
    """

    folder: Path
    who: str | None = None
    rules: RuleWords = field(default_factory=RuleWords)
    figures: Mapping[str, str | bytes] | None = None
    planned: Design | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        ReadingRules(**self.rules)  # refused before any step

    # What the steps share; each is read or computed once.

    @cached_property
    def experiment(self) -> Experiment:
        """The definition in the folder."""
        return load_experiment(self.folder)

    @cached_property
    def registry(self) -> Registry:
        """The registry that the folder belongs to."""
        return Registry(self.folder.parent)

    @property
    def assigned(self) -> Assigned:
        """The assignment as it grows: the first draw, ramp-ups, later waves."""
        return Assigned(self.folder, self.experiment, self.registry, who=self.who)

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow's store under `mlruns/`, beside the experiments."""
        return Tracking(self.folder.parent.parent)

    @cached_property
    def trial(self) -> Trial:
        """Assignment, outcomes and customers, joined and checked."""
        tables = (self._watched(), self.read("ingest"), self.read("customers"))
        self.require_unchanged()
        return self._joined(*tables, rules=self.reading_rules)

    @property
    def reading_rules(self) -> ReadingRules:
        """As told to this campaign, and for the rest as told when the outcomes were ingested."""
        known, path = REFUSE_ALL, self.path("rules")
        if path.is_file():
            path = self.registry.artefact(self.experiment.id, "rules")
            known = ReadingRules(**parse_json(path.read_bytes(), name=path.name).content)
        return known.told(self.rules)

    @cached_property
    def suite(self) -> Suite:
        """The candidates that `train` left."""
        return load_suite(self.path("train", need="train"))

    @cached_property
    def quality(self) -> Quality:
        """What the trial proves about the candidates."""
        return evaluate(self.suite, self.trial, seed=self.suite.seed)

    @cached_property
    def returns(self) -> Roi:
        """Return per customer and arm, by the candidate that the evaluation recommends."""
        candidate = self.suite.candidates[self.quality.recommended_candidate]
        return roi(candidate, self.trial, suite=self.suite)

    @cached_property
    def contact_plan(self) -> ContactPlan:
        """Who is contacted next, within the policy's rules and by arms whose guardrails hold.

        Nobody, when a check withholds the verdict or contacting anybody is not proven to pay.
        """
        table, reading = self.returns.customers, self.reading()
        safe = table[~table["arm"].isin(reading.barred)]
        if safe.empty or not reading.valid or self.quality.recommended == "nobody":
            return plan_contacts(table, self.policy(), suppressed=list(table["unit"].unique()))
        return plan_contacts(safe, self.policy())

    @cached_property
    def run(self) -> Run:
        """The run in MLflow that holds the training, its evaluation and the model."""
        return log_run(
            self.experiment,
            self.suite,
            self.quality,
            self.returns,
            self.contact_plan,
            trial=self.trial,
            report=self.reading(),
            figures=self.figures,
            tracking=self.tracking,
        )

    # The steps, in the order of the road.

    def design(
        self,
        history: Any = None,
        *,
        n_units: int | None = None,
        power: float | None = None,
        inflow_per_day: float | None = None,
        covariates: Sequence[str] | None = None,
    ) -> Design:
        """How many customers the experiment needs and what it can answer → design.json."""
        self.registry.require_addable(self.experiment)
        self.planned = design(
            self.experiment,
            history,
            n_units=n_units,
            power=power,
            inflow_per_day=inflow_per_day,
            covariates=covariates,
        )
        self.registry.add(self.experiment, who=self.who)
        self._write("design", self.planned)
        return self.planned

    def simulate(self, history: Any, **options: Any) -> Rehearsal:
        """Replay the plan on history (`simulate_plan` with its options) → rehearsal.json."""
        self.registry.require_addable(self.experiment)
        found = simulate_plan(self.experiment, history, **options)
        self.registry.add(self.experiment, who=self.who)
        self._write("rehearse", found)
        return found

    def seal(self, why: str = "design accepted") -> str:
        """Freeze the definition; gives its digest."""
        plan = _Written(self.path("design", need="design").read_text(encoding="utf-8"))
        self.registry.seal(self.experiment, plan, who=self.who, why=why)
        return self.experiment.digest

    def assign(
        self, customers: Any, *, as_of: str | date | datetime | None = None, **lists: Any
    ) -> AssignmentReport:
        """Draw the arms of a sealed experiment → assignment.parquet, .json, customers.parquet.

        A trigger is assigned again and again: each time, who became eligible since comes in
        → intakes/<number>-<digest>/.

        as_of  of a trigger: the moment of the intake; now when not given
        lists  `excluded`, `suppressed`, `contacts` as for `uplift.assign`. The control of the
               experiments that the definition excludes is left out without being given

        Errors: those of `assign_from` and of `Assigned.take_in`; ROTATION_DRAWS for a control that
        rotates.
        """
        self._require_state("assign", "sealed")
        if self.experiment.rotation is not None:
            raise StateError(
                f"{self.folder.name} rotates: its members are drawn in cohorts. Run `uplift "
                f"control rotate {self.folder.name} CUSTOMERS`.",
                code="ROTATION_DRAWS",
            )
        if as_of is not None and self.experiment.kind != "trigger":
            raise DefinitionError(
                f"{self.folder.name} is drawn as of its launch. Only a trigger takes in customers "
                "as of another moment: leave as_of out.",
                code="ARGUMENT_INVALID",
            )
        told, notices = self._told(customers=customers, **lists)
        table = read_frame(told.pop("customers"), what="customers")
        at = self.moment_of_contact(as_of)
        known = self._lists(table, at, **told)
        if self.experiment.kind == "trigger":
            self.assigned.intakes.require_open(at)
            if position(self.registry.state(self.experiment.id)) >= position("assigned"):
                return self.assigned.take_in(
                    table, self._customers(), known, at=at, notices=notices
                )
        made = assign_from(self.experiment, table, known, at=at)
        report = assignment_report(self.experiment, made, table).with_notices(notices)
        self._keep_assignment(made.table, table, report)
        self._advance("assigned", "arms drawn", files=("assign", "customers"))
        return report

    def assign_wave(self, wave: str, customers: Any, **lists: Any) -> AssignmentReport:
        """Assign a later wave → assignment_<wave>.parquet, .json, customers_<wave>.parquet.

        Errors: those of `Assigned.draw_wave`.
        """
        if self.experiment.schedule.window(wave) == self.experiment.schedule.windows[0]:
            return self.assign(customers, **lists)
        self._require_state("assign", "assigned")
        told, notices = self._told(customers=customers, **lists)
        table = read_frame(told.pop("customers"), what="customers")
        opens = self.experiment.schedule.window(wave).opens_at
        now = self._lists(table, opens, **told)
        return self.assigned.draw_wave(wave, table, now, notices=notices)

    def ramp(self, exposure_share: Any, *, why: str = "ramp-up", **lists: Any) -> AssignmentReport:
        """Take in a larger share of the customers first given → assignment_ramp_<n>.parquet.

        Errors: those of `Assigned.ramp`.
        """
        self._require_state("assign", "assigned")
        table = read_frame(self.path("customers"), what="customers")  # those first given
        told, notices = self._told(**lists)
        now = self._lists(table, datetime.now(UTC), **told)
        return self.assigned.ramp(exposure_share, table, now, why=why, notices=notices)

    def adopt(
        self, assigned: Any, customers: Any, *, sent: Any = None, despite: str | None = None
    ) -> AssignmentReport:
        """Take over an assignment that was drawn elsewhere, after the same checks.

        sent     contacts made already, one row each, if there are any
        despite  why it is taken over although its split or its balance fails; every later reading
                 then withholds its verdict and says so

        With the rule two_arms="drop", units in two arms are left out, and an amendment says so.
        Errors: those of `checked_assignment`; SRM, BALANCE, EXPOSED_UNASSIGNED, CONTROL_EXPOSED,
        REASON_MISSING.
        """
        self._require_state("adopt", "sealed")
        told, notices = self._told(assigned=assigned, customers=customers, sent=sent)
        table = read_frame(told["customers"], what="customers")
        drawn, left_out = settled_assignment(
            self.experiment, told["assigned"], rules=ReadingRules(**self.rules)
        )
        if sent is not None:
            require_sent_as_assigned(drawn, told["sent"], given=told["assigned"])
        report = assignment_report(self.experiment, drawn, table)
        failed = failures_taken_over(report, despite=despite)
        report = report.with_notices((*notices, *left_out))
        self._keep_assignment(drawn, table, report)
        for notice in left_out:
            self.assigned.amend(f"{notice.value} units in two arms left out", why=notice.remedy)
        files = ("assign", "customers")
        self._advance("assigned", "arms drawn elsewhere", files=files, payload=failed)
        return report

    def export(
        self,
        suppression: Any,
        *,
        wave: str | None = None,
        as_of: str | date | datetime | None = None,
        options: ExportOptions | None = None,
    ) -> ExportReport:
        """The lists of a wave, one per channel, with manifest and proof → export/<wave>/<channel>/.

        Opt-outs in the suppression list are left out, and so is whoever the experiments that this
        one excludes hold out. The first export makes the experiment live.
        """
        return export_wave(
            self.experiment,
            self._assignment(wave),
            suppression=suppression,
            registry=self.registry,
            folder=self.folder,
            as_of=as_of,
            wave=wave,
            options=self._options(options, wave, as_of),
            who=self.who,
        )

    def export_withdrawals(
        self,
        suppression: Any,
        *,
        wave: str | None = None,
        as_of: str | date | datetime | None = None,
        options: ExportOptions | None = None,
    ) -> ExportReport:
        """Who opted out since the lists were exported → export/<wave>/<channel>-delta-<n>/."""
        return export_withdrawals(
            self.experiment,
            pd.concat([table[[UNIT]] for table in self._assignments()], ignore_index=True),
            suppression=suppression,
            registry=self.registry,
            folder=self.folder,
            as_of=as_of,
            wave=wave,
            options=options,
            who=self.who,
        )

    def ingest(self, outcomes: Any) -> Trial:
        """Check and keep the outcomes of the assigned units → outcomes.parquet.

        The rules by which they are read hold for the later steps too (→ reading.json).
        """
        self._require_state("ingest", "assigned")
        rules = ReadingRules(**self.rules)
        table = read_frame(
            outcomes,
            what="outcomes",
            require=self.experiment.outcome_columns,
            unit=None if rules.trim else UNIT,  # kept as they came, trimmed when they are read
        )
        trial = self._joined(self._watched(), table, self.read("customers"), rules=rules)
        self._keep("ingest", table)
        self._keep_rules(rules)
        self._advance("live", "contacts were sent")
        self._advance("maturing", "outcomes arrived", files=("ingest",))
        self.__dict__["trial"] = trial
        return trial

    def reading(self, *, as_of: str | date | datetime | None = None) -> AnalysisReport:
        """The analysis by the sealed plan, without writing it.

        as_of  now when None; once the response window has closed, its end, so that a later
               reading of the same data is the same reading. Without a zone, in the experiment's
        """
        tables = (self.read("assign"), self.read("ingest"), self.read("customers"))
        self.require_unchanged()
        schedule = self.experiment.schedule
        read_at = datetime.now(UTC) if as_of is None else schedule.moment(as_of)
        report = analyse(
            self.experiment,
            *tables,
            as_of=min(read_at, schedule.closes_at),
            earlier=tuple(look for look in self.looks if not look.final),
            planned_units=self._planned_units,
            **self.reading_rules.words,
        )
        trail = self.registry.history(self.experiment.id).rows
        report = with_failures(report, trail)
        return replace(report, amendments=self.registry.amendments(self.experiment.id))

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks that were taken, oldest first."""
        path = self.path("looks")
        return looks_from(path.read_text(encoding="utf-8")) if path.is_file() else ()

    def analyse(self, *, as_of: str | date | datetime | None = None) -> AnalysisReport:
        """Read the experiment by its sealed plan → analysis.json.

        Before the window has closed the reading is provisional, and the experiment stays maturing.
        """
        self._require_state("analyse", "maturing")
        report = self.reading(as_of=as_of)
        self._keep_look(report)
        self._keep("analyse", replace(report, amendments=self._amended_before_reading(report)))
        if report.provisional:
            self._record("analyse")
        else:
            self._advance("read", "read by the sealed plan", files=("analyse",))
        return report

    def reread(
        self,
        outcomes: Any,
        *,
        days: Sequence[int] | None = None,
        as_of: str | date | datetime | None = None,
    ) -> LongTermReport:
        """Read the kept holdout again at the planned days (see `reread`) → rereads.jsonl.

        A day that is recorded keeps its line; new days are appended. Errors: STATE_ORDER before the
        experiment is read, and those of `reread`.
        """
        self._require_state("reread", "read")
        holdout = KeptHoldout(self.folder, self.experiment, self.registry, who=self.who)
        return holdout.reread(self.read("assign"), outcomes, days=days, as_of=as_of)

    def market_shock(
        self,
        outcomes: Any,
        *,
        since: str | date | datetime,
        as_of: str | date | datetime | None = None,
    ) -> MarketReport:
        """Did the market move at a known moment, or the campaign? See `market_shock`."""
        self._require_state("market", "assigned")
        assigned = self.read("assign")
        return market_shock(self.experiment, assigned, outcomes, since=since, as_of=as_of)

    def train(self, learners: Sequence[str] = LEARNERS, *, seed: int = 0) -> Suite:
        """Train the candidates on one shared cross-fit → suite/."""
        suite = train(self.trial, learners, seed=seed)
        save_suite(suite, self.path("train"))
        self.__dict__.pop("suite", None)  # the next steps read what stands in the files
        return suite

    def evaluate(self) -> Quality:
        """Judge the candidates against each other and against simpler policies → quality.json."""
        self._write("evaluate", self.quality)
        return self.quality

    def roi(self) -> Roi:
        """Return on investment per customer and arm → roi.parquet."""
        write_parquet(self.returns.customers, self.path("roi"))
        self._record("roi")
        return self.returns

    def plan(self) -> ContactPlan:
        """Plan the next contacts → plan.parquet and its certificate, plan.json."""
        write_parquet(self.contact_plan.contacts, self.path("plan"))
        self._record("plan")
        self._write("certificate", self.contact_plan)
        return self.contact_plan

    def log(self) -> Run:
        """Log training, evaluation, returns and model to MLflow; the model becomes challenger."""
        return self.run

    def promote(self) -> Promotion:
        """Make the logged model champion if it passes every gate."""
        return promote(self.run, registry=self.registry, tracking=self.tracking, who=self.who)

    def score(self, customers: Any) -> Scored:
        """Score customers with the champion → scores.parquet."""
        scored = score(f"models:/{self.experiment.id}@champion", customers, tracking=self.tracking)
        write_parquet(scored.customers, self.path("score"))
        self._record("score")
        return scored

    def rollback(self) -> Promotion:
        """Bring the champion before the present one back."""
        return rollback(
            self.experiment.id, registry=self.registry, tracking=self.tracking, who=self.who
        )

    def held_out(
        self, *, as_of: str | date | datetime | None = None, customers: Any = None
    ) -> pd.DataFrame:
        """Units that this experiment keeps from being contacted: its control.

        as_of      of a control that rotates, the moment of the contact; now when not given
        customers  of one that holds out clusters, so that who joined one later is held out too
        """
        if self.experiment.rotation is not None:
            moment = datetime.now(UTC) if as_of is None else as_of
            return control_units(self.registry, self.experiment.id, moment, customers=customers)
        return held_out(self.read("assign"))

    def decide(self, action: str, words: str) -> None:
        """Record what was decided; the experiment ends here."""
        self._require_state("decide", "read")
        self.registry.decide(self.experiment.id, action, words, who=self.who)

    def write_child(self, new_id: str) -> Path:
        """The definition of an experiment that goes on from this one's decision → its folder.

        Its metrics get as priors what all past experiments say, where there are at least three
        with the metric (`priors_of`); else what the best arm was found to do here, unless a check
        withheld the verdict. Errors: STATE_ORDER (nothing is decided), FILE_EXISTS, NAME_INVALID.
        """
        entry = self.registry.entry(self.experiment.id)
        decided = position(entry.state) >= position("decided")
        report = self.reading() if decided else None
        best_arm = report.best_arm if report else None
        priors = (
            priors_of(
                self.registry, self.experiment, decision=str(entry.decision), best_arm=best_arm
            )
            if report
            else {}
        )
        child = child_of(
            self.experiment,
            new_id,
            state=entry.state,
            decision=entry.decision,
            effects=report.relative_effects() if report and report.valid else {},
            best_arm=best_arm,
            priors=priors,
        )
        file = self.folder.parent / child.id / DEFINITION_FILE
        if file.exists():
            raise StateError(
                f"{file} is there already and is not replaced. Choose another id.",
                code="FILE_EXISTS",
            )
        metrics = self.folder.parent / CATALOGUE_FILE
        catalogue = MetricCatalogue.load(metrics) if metrics.is_file() else None
        write_text(child_text(child, str(entry.decision), catalogue), file)
        return file

    # Files and states.

    def path(self, step: str, *, need: str | None = None) -> Path:
        """Where a step writes; refuses when `need` names a step that has not run."""
        path = self.folder / FILES[step]
        if need is not None and not path.exists():
            raise StateError(
                f"{self.folder.name}: {path.name} is not there yet. "
                f"Run `uplift {need} {self.folder.name}` first.",
                code="STEP_MISSING",
            )
        return path

    def files(self) -> list[Path]:
        """The files that the steps have written so far."""
        paths = [self.folder / name for step, name in FILES.items() if step != "report"]
        return [path for path in paths if path.is_file()]

    def read(self, step: str) -> pd.DataFrame:
        """A table that an earlier step wrote."""
        if step == "assign":
            self.path("assign", need="assign")
            return self.assigned.whole()
        if step == "customers":
            return self._customers()
        unit = None if step == "ingest" else UNIT  # its ids are read by the rules
        return read_frame(self.path(step, need=step), what=step, unit=unit)

    def policy(self) -> ContactPolicy:
        """The contact policy in the folder, or one without limits."""
        file = self.folder / POLICY_FILE
        if file.is_file():
            return load_policy(file, experiment=self.experiment)
        return ContactPolicy.for_experiment(self.experiment)

    def require_unchanged(self) -> None:
        """Refuse a definition that was changed since it was sealed."""
        entry = self.registry.entry(self.experiment.id)
        if entry.state != "draft" and entry.digest != self.experiment.digest:
            raise StateError(
                f"{entry.id} was sealed with another definition ({entry.digest[:12]}…) than the "
                f"file holds now ({self.experiment.digest[:12]}…). Restore the file, or register "
                "the changed experiment under a new id.",
                code="EXPERIMENT_FROZEN",
            )

    def _assignments(self) -> list[pd.DataFrame]:
        """Every table of the assignment, when their bytes are still those that were fixed."""
        self._require_state("export", "assigned")
        own = [path for path in self.assigned.files if path.parent == self.folder]
        names = ["assign" if path.name == FIRST else path.stem for path in own]
        paths = [self.registry.artefact(self.experiment.id, name) for name in names]
        tables = [read_frame(path, what="assignment") for path in paths]
        return [*tables, *self.assigned.intakes.assigned()]

    def _assignment(self, wave: str | None) -> pd.DataFrame:
        """The wave's own assignment where there is one, else the first, with what joined it."""
        self._assignments()
        own = wave is not None and (self.folder / f"assignment_{wave}.parquet").is_file()
        return self.assigned.wave(wave) if own and wave else self.assigned.table()

    def _options(
        self,
        given: ExportOptions | None,
        wave: str | None,
        as_of: str | date | datetime | None,
    ) -> ExportOptions:
        """The options of an export, with customers and held-out units from the folders."""
        options = given or ExportOptions()
        own = self.folder / f"customers_{wave}.parquet"
        path = own if own.is_file() else self.path("customers", need="assign")
        customers = read_frame(path, what="customers")
        if self.experiment.kind == "trigger":
            customers = self._customers()
        at = self.moment_of_contact(as_of, wave=wave)
        lists = self._lists(customers, at, excluded=options.held_out)
        return replace(options, held_out=lists.excluded, customers=customers)

    def _told(self, **tables: Any) -> tuple[dict[str, Any], tuple[Check, ...]]:
        """Tables by name, their ids trimmed where the rules say so, and what was trimmed."""
        own_form = {name: t for name, t in tables.items() if is_suppression_list(t)}
        others = {name: t for name, t in tables.items() if name not in own_form}
        told, notices = all_as_told(ReadingRules(**self.rules), **others)
        return told | own_form, notices

    def moment_of_contact(
        self, as_of: str | date | datetime | None, *, wave: str | None = None
    ) -> datetime:
        """When units are contacted: at the start of the wave, or of a trigger as they come in."""
        schedule = self.experiment.schedule
        if self.experiment.kind != "trigger":
            return schedule.window(wave).opens_at
        return datetime.now(UTC) if as_of is None else schedule.moment(as_of)

    def _distinct(self, customers: pd.DataFrame) -> pd.DataFrame:
        """Customers as later steps need them: a repeated row counted once."""
        return distinct_customers(customers, cluster=self.experiment.cluster)

    def _lists(
        self,
        customers: pd.DataFrame,
        as_of: datetime,
        *,
        excluded: Any = None,
        suppressed: Any = None,
        contacts: Any = None,
    ) -> Lists:
        """The lists, with the control of the experiments that the definition excludes."""
        others = [
            Campaign(self.folder.parent / name).held_out(as_of=as_of, customers=customers)["unit"]
            for name in self.experiment.assignment.excludes
        ]
        if excluded is not None:
            others.append(excluded_units(excluded))
        both = pd.concat(others, ignore_index=True).drop_duplicates() if others else None
        return Lists(
            excluded=None if both is None else both.to_frame("unit"),
            suppressed=None if suppressed is None else listed_units(suppressed, customers[UNIT]),
            contacts=contacts,
        )

    def _keep_assignment(
        self, assigned: pd.DataFrame, customers: pd.DataFrame, report: AssignmentReport
    ) -> None:
        self._keep("customers", self._distinct(customers))
        self._keep("assign", assigned)
        self._write("assignment", report)

    def _customers(self) -> pd.DataFrame:
        """Every customer as known when first assigned."""
        paths = [self.path("customers", need="assign")]
        later = [window.wave for window in self.experiment.schedule.windows[1:]]
        paths += [self.folder / f"customers_{wave}.parquet" for wave in later]
        tables = [read_frame(path, what="customers") for path in paths if path.is_file()]
        tables += self.assigned.intakes.customers()
        if len(tables) == 1:
            return tables[0]
        return pd.concat(tables, ignore_index=True).drop_duplicates(UNIT, ignore_index=True)

    def _watched(self) -> pd.DataFrame:
        """The assignment that models learn from: units whose response window has closed.

        Where waves are drawn anew, that is the first one, whose customers have one arm each.
        """
        table = self.assigned.table() if is_redrawn(self.experiment) else self.read("assign")
        mature = mature_units(self.experiment, table, datetime.now(UTC))
        return table[mature].reset_index(drop=True) if mature.any() else table

    def _joined(
        self,
        assigned: pd.DataFrame,
        outcomes: pd.DataFrame,
        customers: pd.DataFrame,
        *,
        rules: ReadingRules,
    ) -> Trial:
        if is_redrawn(self.experiment):
            outcomes, _ = as_told(outcomes, what="outcomes", rules=rules)
            outcomes = self._of_first_wave(outcomes)
        return Trial.join(self.experiment, assigned, outcomes, customers, **rules.words)

    def _of_first_wave(self, outcomes: pd.DataFrame) -> pd.DataFrame:
        """Outcomes of the first wave, where waves are drawn anew."""
        first = outcomes_of_waves(self.experiment, outcomes)
        first = first[first["wave"] == self.experiment.schedule.windows[0].wave]
        return first.assign(unit=first["customer"]).drop(columns=["customer", "wave"])

    @property
    def _planned_units(self) -> int | None:
        """Units that the design asks for, where they come in over time."""
        path = self.path("design")
        if self.experiment.kind != "trigger" or not path.is_file():
            return None
        return int(parse_json(path.read_bytes(), name=path.name).content["n_units"])

    def _keep_look(self, report: AnalysisReport) -> None:
        """A look of the plan is kept, so that the next one knows what error is left."""
        if report.look is not None:
            write_text(looks_text(with_look(self.looks, report.look)), self.path("looks"))
            self._record("looks")

    def _amended_before_reading(self, report: AnalysisReport) -> tuple[Amendment, ...]:
        """Amendments by the time of the final reading: its file stays as it was written then."""
        trail = self.registry.history(self.experiment.id).rows
        read = next((row.seq for row in trail if row.to_state == "read"), None)
        return tuple(one for one in report.amendments if read is None or one.seq < read)

    def _write(self, step: str, result: Result) -> None:
        write_text(result.to_json(), self.path(step))
        self._record(step)

    def _keep(self, step: str, content: pd.DataFrame | Result) -> None:
        """Write what a transition will fix; what was fixed before is never replaced by another."""
        with whole_file(self.path(step)) as temporary:
            if isinstance(content, pd.DataFrame):
                digest = write_parquet(content, temporary)
            else:
                digest = write_text(content.to_json(), temporary)
            self.registry.require_replaceable(self.experiment.id, step, digest)

    def _keep_rules(self, rules: ReadingRules) -> None:
        """How the outcomes are to be read from now on; no file says that nothing was asked for."""
        if rules != REFUSE_ALL or self.path("rules").is_file():
            write_text(canonical_json(vars(rules)), self.path("rules"))
            self._record("rules")

    def _record(self, step: str) -> None:
        self.registry.record(self.experiment.id, step, self.path(step))

    def _advance(
        self,
        to: str,
        why: str,
        *,
        files: Sequence[str] = (),
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        artefacts = {step: self.path(step) for step in files}
        self.registry.advance(
            self.experiment.id, to, who=self.who, why=why, payload=payload, artefacts=artefacts
        )

    def _require_state(self, step: str, needed: str) -> None:
        """Refuse a step before the state it needs, or with a definition changed since sealing."""
        entry = self.registry.entry(self.experiment.id)
        if position(entry.state) < position(needed):
            raise StateError(
                f"{entry.id} is {entry.state}, so `uplift {step}` is too early: it must be "
                f"{needed}. Next: {NEXT_COMMAND[entry.state]}.",
                code="STATE_ORDER",
            )
        self.require_unchanged()
