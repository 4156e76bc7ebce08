"""The main job on real input: from purchases to a scored list and a report, in one go.

Two inputs. `plasmode`: real households of Complete Journey with a planted, known effect, so that
the truth can stand beside every estimate. `hillstrom`: the real randomised e-mail test, read as it
was run. Interrupted anywhere and run again, the demo ends in the same state.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.campaign import Campaign
from uplift.customers.view import customer_view
from uplift.datasets.email_test import hillstrom
from uplift.datasets.journey import complete_journey
from uplift.datasets.plasmode import plasmode_campaign
from uplift.errors import DefinitionError, PromotionRefused
from uplift.evaluation.quality import Quality, evaluate
from uplift.models.train import train
from uplift.programme import Programme
from uplift.progress import Steps
from uplift.promotion import Promotion
from uplift.report.page import write_report
from uplift.report.road import Truth, road_of
from uplift.report.words import policy_words
from uplift.table import Column, Result, Table, format_value

WHO = "demo"
UNIVERSAL = "universal_control"
FEWEST, MOST = 500, 5_000_000  # plasmode customers
LARGEST_SEED = 2**32
NEXT_MONTH = "2017-08-01"  # when the promoted model scores the customers as they are then

Array = npt.NDArray[np.float64]
Step = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Amount:
    """Incremental profit over contacting nobody, in total, with its interval and the truth.

    truth  None when it is not known
    """

    name: str
    profit: float
    ci: tuple[float, float]
    truth: float | None


@dataclass(frozen=True, repr=False)
class DemoResult(Result):
    """What the road ended in.

    money     what the recommended policy brings, then what the contact plan keeps of it
    verdicts  what is proven, by question, and what became of the model
    files     what was written
    """

    experiment: str
    label: str
    decision: str
    currency: str
    n_units: int
    money: tuple[Amount, ...]
    verdicts: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> Table:
        """The decision, the money, the truth beside it, and where everything is."""
        known = any(amount.truth is not None for amount in self.money)
        rows: list[tuple[str | float | None, ...]] = [("decision", self.decision, None)]
        for amount in self.money:
            profit, low, high = (format_value(x, "money") for x in (amount.profit, *amount.ci))
            words = f"{profit} {self.currency} (95 % interval {low} to {high})"
            rows.append((f"incremental profit, {amount.name}", words, amount.truth))
        rows += [(name, words, None) for name, words in {**self.verdicts, **self.files}.items()]
        columns = [Column("what"), Column("answer"), Column("true value", kind="money")]
        if not known:
            columns, rows = columns[:2], [row[:2] for row in rows]
        title = f"{self.experiment}: {self.n_units:,} customers"
        return Table(title, columns, rows, note=self.label)


@dataclass(frozen=True, eq=False)
class Material:
    """What a demo starts from.

    assigned       the assignment when it was drawn elsewhere; None when the demo draws it
    outcomes       what happened, given the assignment
    new_customers  to be scored by the promoted model
    potential      by arm, profit of every customer; known only where it was planted
    also_read      further outcomes whose ranking is judged
    """

    experiment: str
    customers: pd.DataFrame
    outcomes: Callable[[pd.DataFrame], pd.DataFrame]
    new_customers: pd.DataFrame
    label: str = ""
    assigned: pd.DataFrame | None = None
    profit: pd.DataFrame | None = None
    also_read: tuple[str, ...] = ()


def run_demo(
    root: str | Path, *, data: str = "plasmode", n_customers: int = 20_000, seed: int = 7
) -> DemoResult:
    """Walk the road and say where it ended.

    root         folder with `experiments/` and `mlruns/`
    data         "plasmode" or "hillstrom"
    n_customers  of the plasmode campaign

    Errors, before anything is written: ARGUMENT_INVALID.
    """
    _require_right(data, n_customers, seed)
    demo = Demo(Path(root), data=data, n_customers=n_customers, seed=seed)
    with Steps([label for label, _ in demo.steps]) as steps:
        for _, work in demo.steps:
            with steps.step():
                work()
    return demo.result


def _require_right(data: str, n_customers: int, seed: int) -> None:
    if data not in ("plasmode", "hillstrom"):
        raise DefinitionError(
            f"--data must be plasmode or hillstrom, got {data!r}.", code="ARGUMENT_INVALID"
        )
    if not FEWEST <= n_customers <= MOST:
        raise DefinitionError(
            f"--customers must be {FEWEST:,} to {MOST:,}, got {n_customers}. With fewer no arm can "
            "be read, and more fill the memory of a laptop; 20000 is usual.",
            code="ARGUMENT_INVALID",
        )
    if not 0 <= seed < LARGEST_SEED:
        raise DefinitionError(
            f"--seed must be 0 to {LARGEST_SEED - 1}, got {seed}. Any such number does.",
            code="ARGUMENT_INVALID",
        )


@dataclass
class Demo:
    """One walk along the road; `steps` are its labels and their work, in order."""

    root: Path
    data: str = "plasmode"
    n_customers: int = 20_000
    seed: int = 7

    @property
    def steps(self) -> list[Step]:
        """The road."""
        return [
            ("customers from real purchases", lambda: self.material),
            *([("universal control", self.hold_out)] if self.data == "plasmode" else []),
            ("design", self.design),
            ("seal the plan", lambda: self.campaign.seal()),
            ("assign customers to arms", self.assign),
            ("collect outcomes", self.ingest),
            ("analyse by the sealed plan", lambda: self.campaign.analyse()),
            ("train learners on one cross-fit", lambda: self.campaign.train(seed=self.seed)),
            ("evaluate against simpler policies", self.evaluate),
            ("return on investment per customer", lambda: self.campaign.roi()),
            ("plan the next contacts", lambda: self.campaign.plan()),
            ("log to MLflow", self.log),
            ("promote through the gates", lambda: self.promotion),
            ("score new customers", self.score),
            ("decide and write the report", self.finish),
        ]

    @cached_property
    def material(self) -> Material:
        """What the road starts from."""
        if self.data == "hillstrom":
            return _email_material()
        return _voucher_material(self.root, self.n_customers, self.seed)

    @cached_property
    def campaign(self) -> Campaign:
        """The experiment that the road is walked for."""
        return self._open(self.material.experiment)

    def hold_out(self) -> None:
        """Begin the control of the whole programme: customers whom no campaign touches."""
        universal = self._open(UNIVERSAL)
        universal.design(self.material.customers)
        universal.seal()
        programme = Programme(universal.folder, who=WHO, registry=universal.registry)
        begins = universal.experiment.schedule.launch_at
        programme.rotate(self.material.customers, as_of=begins)

    def design(self) -> None:
        """Plan with the customers' own history, or with what the plan assumes."""
        history = self.material.customers if self.material.assigned is None else None
        self.campaign.design(history, n_units=None if history is not None else self.n_units)

    def assign(self) -> None:
        """Draw the arms among those not held out, or take over the draw that was made."""
        material = self.material
        if material.assigned is not None:
            self.campaign.adopt(material.assigned, material.customers)
            return
        launch = self.campaign.experiment.schedule.launch_at
        held_out = self._open(UNIVERSAL).held_out(as_of=launch)
        self.campaign.assign(material.customers, excluded=held_out)

    def ingest(self) -> None:
        """See what the assigned customers did."""
        self.campaign.ingest(self.material.outcomes(self.campaign.read("assign")))

    def evaluate(self) -> None:
        """Judge the candidates, for the outcome that decides and for those also read."""
        self.campaign.evaluate()
        for outcome in self.material.also_read:
            suite = train(self.campaign.trial, outcome=outcome, seed=self.seed)
            self.other_qualities[outcome] = evaluate(suite, self.campaign.trial, seed=self.seed)

    @cached_property
    def other_qualities(self) -> dict[str, Quality]:
        """Evaluations of outcomes that explain but do not decide."""
        return {}

    def log(self) -> None:
        """Log the run with its figures."""
        results = {
            "effects": self.campaign.reading(),
            "policies": self.campaign.quality,
            "returns": self.campaign.returns,
            "plan": self.campaign.contact_plan,
        }
        self.campaign.figures = {
            f"{name}.svg": result.plot().svg() for name, result in results.items()
        }
        self.campaign.log()

    @cached_property
    def promotion(self) -> Promotion | PromotionRefused:
        """The model in production from now on, or why there is none."""
        try:
            return self.campaign.promote()
        except PromotionRefused as refusal:
            return refusal

    @property
    def promoted(self) -> Promotion | None:
        """The promotion, if every gate passed."""
        return self.promotion if isinstance(self.promotion, Promotion) else None

    def score(self) -> None:
        """Score the customers as they are a month later, if there is a champion to do it."""
        if self.promoted is not None:
            self.campaign.score(self.material.new_customers)

    def finish(self) -> None:
        """Record the decision and write the page."""
        quality = self.campaign.quality
        if not self.campaign.reading().valid:
            self.campaign.decide("fix", "A check withholds the verdict; see the analysis.")
        else:
            action = "stop" if quality.recommended == "nobody" else "scale"
            self.campaign.decide(action, self.decision)
        road = replace(
            road_of(self.campaign),
            run=self.campaign.run,
            promotion=self.promoted and replace(self.promoted, action="promoted"),  # by any run
            truth=self.truth,
            label=self.material.label,
        )
        write_report(self.campaign.path("report"), road)

    @property
    def n_units(self) -> int:
        """Customers at the start."""
        return len(self.material.customers)

    @property
    def decision(self) -> str:
        """What is done next, in a sentence."""
        quality = self.campaign.quality
        row, words = quality.recommended_policy, policy_words(quality.recommended)
        if row.kind in ("nobody", "everyone"):
            return f"{words.capitalize()}: targeting is {quality.targeting} to be better."
        share = format_value(row.share_contacted, "share")
        arms = "each with the arm that pays" if row.kind == "learner" else "the best ranked first"
        return f"Target with {words}: contact {share} of customers, {arms}."

    @property
    def truth(self) -> Truth | None:
        """What is known because it was planted: totals over the trial's customers."""
        if self.material.profit is None:
            return None
        gain = self.material.profit.sub(self.material.profit["control"], axis=0)
        gain = gain.loc[list(self.campaign.suite.units)]
        choice = self.campaign.quality.choices[self.campaign.quality.recommended]
        contacts = self.campaign.contact_plan.contacts
        row = gain.index.get_indexer(pd.Index(contacts["unit"]))
        column = gain.columns.get_indexer(pd.Index(contacts["arm"]))
        return Truth(
            arms={str(arm): float(gain[arm].sum()) for arm in gain.columns[1:]},
            policy=float(gain.to_numpy()[np.arange(len(gain)), choice].sum()),
            plan=float(gain.to_numpy()[row, column].sum()),
        )

    @property
    def result(self) -> DemoResult:
        """Where the road ended."""
        campaign = self.campaign
        return DemoResult(
            experiment=campaign.experiment.id,
            label=self.material.label,
            decision=self.decision,
            currency=campaign.experiment.money.currency,
            n_units=campaign.quality.n_units,
            money=tuple(self._money()),
            verdicts=self._verdicts(),
            files=self._files(),
        )

    def _money(self) -> Iterator[Amount]:
        quality, truth = self.campaign.quality, self.truth
        gains = {g.policy: g for g in quality.gains if g.over == "nobody"}
        gain = gains.get(quality.recommended)
        value, low, high = (gain.value, *gain.ci) if gain else (0.0, 0.0, 0.0)
        n_units = quality.n_units
        yield Amount(
            "recommended policy",
            n_units * value,
            (n_units * low, n_units * high),
            truth.policy if truth else None,
        )
        measured = self.campaign.contact_plan.measured
        if measured is not None:
            known = truth.plan if truth else None
            yield Amount("contact plan", measured.profit, measured.ci, known)

    def _verdicts(self) -> dict[str, str]:
        quality = self.campaign.quality
        verdicts = {f"targeting for {quality.outcome}": quality.targeting}
        for outcome, other in self.other_qualities.items():
            for arm in other.arms[1:]:
                name = f"ranking by effect of {arm} on {outcome}"
                verdicts[name] = other.ranking_verdict(arm)
        if isinstance(self.promotion, PromotionRefused):
            failed = ", ".join(check.name for check in self.promotion.checks)
            return verdicts | {"promotion": f"refused: {failed}"}
        return verdicts | {"champion": self.promotion.model_uri}

    def _files(self) -> dict[str, str]:
        campaign = self.campaign
        named = {
            "report": campaign.path("report"),
            "ROI per customer": campaign.path("roi"),
            "contact plan": campaign.path("plan"),
            "scored customers": campaign.path("score"),
        }
        files = {name: path.as_posix() for name, path in named.items() if path.is_file()}
        return files | {"MLflow": (self.root / "mlruns" / "mlflow.db").as_posix()}

    def _open(self, experiment_id: str) -> Campaign:
        return Campaign(self.root / "experiments" / experiment_id, who=WHO)


def _voucher_material(root: Path, n_customers: int, seed: int) -> Material:
    """Real households with a planted campaign, and the same households a month later."""
    journey = complete_journey(["transactions"])
    later = customer_view(journey.purchases, as_of=NEXT_MONTH)
    drawn = plasmode_campaign(n_customers, seed=seed)
    campaign = Campaign(root / "experiments" / "spring_voucher")
    profit = drawn.true_profit(campaign.experiment.economics)
    return Material(
        experiment="spring_voucher",
        customers=drawn.customers,
        outcomes=drawn.outcomes,
        new_customers=later,
        label=drawn.label,
        profit=pd.DataFrame(profit, index=drawn.customers["unit"], columns=list(drawn.arms)),
    )


def _email_material() -> Material:
    """The e-mail test as it was run."""
    test = hillstrom()
    return Material(
        experiment="hillstrom_email",
        customers=test.customers,
        outcomes=lambda assigned: test.outcomes,
        new_customers=test.customers,
        label="Real randomised test; no margin or cost was published, so money is spend.",
        assigned=test.assigned,
        also_read=("visit",),
    )
