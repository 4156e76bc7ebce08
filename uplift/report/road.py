"""What a page is made of: the results of one experiment's road, as far as it has been walked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from uplift.amendments import Amendment
from uplift.analysis.report import AnalysisReport
from uplift.campaign import Campaign
from uplift.contacts.plan import ContactPlan
from uplift.evaluation.quality import Quality
from uplift.evaluation.roi import Roi
from uplift.experiment import Experiment
from uplift.files import file_digest
from uplift.sizing.result import Design
from uplift.suite import Suite
from uplift.table import Result, Table
from uplift.text.texts import text_of


@dataclass(frozen=True)
class Truth:
    """Profit that is known because it was planted: totals over the trial's customers, in currency.

    arms    profit over control when everyone gets the arm
    policy  of the recommended policy;  plan  of the contact plan
    """

    arms: Mapping[str, float] = field(default_factory=dict)
    policy: float | None = None
    plan: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Road:
    """Everything a page can show; only the experiment must be there.

    label     what the data are when they are not simply real, e.g. "Semi-synthetic: ..."
    truth     known values, shown beside the estimates
    run       where models were logged, and what became of them
    history   the registry's audit trail
    amendments  deviations from the sealed definition
    files     SHA-256 of each file of the road, by its name
    made_at   time shown on the page; left out when None, so that equal results give equal pages
    language  of the page, "en" or "fr"; tables of models keep their English heads
    """

    experiment: Experiment
    design: Design | None = None
    report: AnalysisReport | None = None
    suite: Suite | None = None
    quality: Quality | None = None
    roi: Roi | None = None
    plan: ContactPlan | None = None
    run: Result | None = None
    promotion: Result | None = None
    history: Table | None = None
    amendments: tuple[Amendment, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    truth: Truth | None = None
    made_at: datetime | None = None
    language: str = "en"

    def told_in(self, language: str) -> "Road":
        """The same road with its page in another language. Errors: LANGUAGE_UNKNOWN."""
        return replace(self, language=text_of(language).language)


def road_of(campaign: Campaign) -> Road:
    """The road of a campaign's folder, as far as its steps have run.

    Errors: EXPERIMENT_FROZEN when the definition was changed since it was sealed.
    """

    def there(step: str) -> bool:
        return campaign.path(step).exists()

    history = campaign.registry.history(campaign.experiment.id)
    if history.rows:
        campaign.require_unchanged()
    evaluated = there("train") and there("evaluate")
    return Road(
        experiment=campaign.experiment,
        design=campaign.planned,
        report=campaign.reading() if there("analyse") else None,
        suite=campaign.suite if there("train") else None,
        quality=campaign.quality if evaluated else None,
        roi=campaign.returns if evaluated and there("roi") else None,
        plan=campaign.contact_plan if evaluated and there("plan") else None,
        amendments=campaign.registry.amendments(campaign.experiment.id),
        history=history.table(),
        files={path.name: file_digest(path) for path in campaign.files()},
    )
