"""The road itself: one short method per step, joining the rooms.

A `Campaign` is an experiment's folder with its registry. Each step reads what the steps before it
wrote, writes its own file whole, and records its digest; run twice, it ends in the same state.
Commands and the demo call these methods; notebooks may, or use the rooms one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from uplift.campaign_reading import ReadCampaign
from uplift.contacts.plan import ContactPlan, plan_contacts
from uplift.contacts.policy import ContactPolicy, load_policy
from uplift.errors import StateError
from uplift.evaluation.quality import Quality, evaluate
from uplift.evaluation.roi import Roi, roi
from uplift.experiment import CATALOGUE_FILE, DEFINITION_FILE
from uplift.explanation.explain import Explanation, explain
from uplift.files import write_text
from uplift.frames import write_parquet
from uplift.metrics import MetricCatalogue
from uplift.models.store import load_suite, save_suite
from uplift.models.train import train
from uplift.promotion import Promotion, promote, rollback
from uplift.registry.lineage import child_of, child_text
from uplift.registry.pooling import priors_of
from uplift.registry.states import position
from uplift.rehearsal.result import Rehearsal
from uplift.rehearsal.simulate import simulate_plan
from uplift.scoring import Scored, score
from uplift.sizing.plan import design
from uplift.sizing.result import Design
from uplift.suite import Suite
from uplift.tracking.runs import Run, log_run
from uplift.tracking.store import Tracking

LEARNERS = ("s", "t", "x", "dr", "response")
POLICY_FILE = "contact_policy.yaml"


@dataclass(frozen=True)
class _Written:
    """A result as it stands in its file."""

    text: str

    def to_json(self) -> str:
        """The text of the file."""
        return self.text


@dataclass
class Campaign(ReadCampaign):
    """An experiment's folder, walked step by step.

    folder   holds `experiment.yaml` and everything the steps write
    who      name for the audit trail; the system's user when not given
    rules    for what can be read in two ways (see `ReadingRules`), e.g. {"missing": "zero"}; what
             is not told here is read as it was told when the outcomes were ingested
    figures  by file name, SVG text or PNG bytes, logged with the run
    planned  the design, when it was made in this session
    """

    figures: Mapping[str, str | bytes] | None = None
    planned: Design | None = field(default=None, init=False)

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow's store under `mlruns/`, beside the experiments."""
        return Tracking(self.folder.parent.parent)

    @cached_property
    def suite(self) -> Suite:
        """The candidates that `train` left; the registry vouches for their files."""
        folder = self.path("train", need="train")
        recorded = self.registry.artefacts(self.experiment.id, prefix="train")
        return load_suite(folder, vouched=folder.resolve() in map(Path.resolve, recorded.values()))

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

    def train(self, learners: Sequence[str] = LEARNERS, *, seed: int = 0) -> Suite:
        """Train the candidates on one shared cross-fit → suite/."""
        suite = train(self.trial, learners, seed=seed)
        save_suite(suite, self.path("train"))
        self._record("train")
        self.__dict__.pop("suite", None)  # the next steps read what stands in the files
        return suite

    def evaluate(self) -> Quality:
        """Judge the candidates against each other and against simpler policies → quality.json."""
        self._write("evaluate", self.quality)
        return self.quality

    def explain(self, candidate: str | None = None, *, depth: int = 2) -> Explanation:
        """Say why effects differ, and a rule in words → explanation.json."""
        found = explain(self.suite, self.trial, candidate, depth=depth, seed=self.suite.seed)
        self._write("explain", found)
        return found

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

    def policy(self) -> ContactPolicy:
        """The contact policy in the folder, or one without limits."""
        file = self.folder / POLICY_FILE
        if file.is_file():
            return load_policy(file, experiment=self.experiment)
        return ContactPolicy.for_experiment(self.experiment)
