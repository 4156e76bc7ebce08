"""Marketing experiments and uplift modelling: from a campaign brief to proven profit per customer.

    import uplift as up

Every public name is loaded when it is first used, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULE_OF = {
    "Arm": "uplift.experiment",
    "Economics": "uplift.economics",
    "Experiment": "uplift.experiment",
    "load_experiment": "uplift.experiment",
    "Trial": "uplift.trial",
    "Objectives": "uplift.objectives",
    "eligible": "uplift.eligibility",
    "customer_view": "uplift.customers.view",
    "design": "uplift.sizing.plan",
    "uplift_power": "uplift.sizing.targeting",
    "simulate_plan": "uplift.rehearsal.simulate",
    "history_of_waves": "uplift.rehearsal.past_waves",
    "Registry": "uplift.registry.registry",
    "past_effects": "uplift.registry.past",
    "pool": "uplift.registry.pooling",
    "learned": "uplift.registry.pooling",
    "assign": "uplift.assignment.assign",
    "assign_from": "uplift.assignment.assign",
    "Lists": "uplift.assignment.order",
    "assignment_report": "uplift.assignment.report",
    "placebo_balance": "uplift.assignment.placebo",
    "assign_as": "uplift.assignment.legacy",
    "arm_sql": "uplift.assignment.sql",
    "analyse": "uplift.analysis.analyse",
    "analyse_table": "uplift.analysis.pushed_down",
    "analysis_sql": "uplift.analysis.pushed_down",
    "reread": "uplift.analysis.long_term",
    "reread_periods": "uplift.analysis.reread_periods",
    "market_shock": "uplift.analysis.market_reading",
    "surrogate_index": "uplift.analysis.surrogates",
    "train": "uplift.models.train",
    "SLearner": "uplift.models.learners",
    "TLearner": "uplift.models.learners",
    "XLearner": "uplift.models.learners",
    "RLearner": "uplift.models.score_learners",
    "DRLearner": "uplift.models.score_learners",
    "TransformedOutcome": "uplift.models.score_learners",
    "ClassTransformation": "uplift.models.class_transformation",
    "CausalForest": "uplift.models.forest",
    "DoseResponse": "uplift.models.dose",
    "evaluate": "uplift.evaluation.quality",
    "explain": "uplift.explanation.explain",
    "explain_choice": "uplift.explanation.chosen",
    "roi": "uplift.evaluation.roi",
    "ContactPolicy": "uplift.contacts.policy",
    "plan_contacts": "uplift.contacts.plan",
    "log_run": "uplift.tracking.runs",
    "promote": "uplift.promotion",
    "rollback": "uplift.promotion",
    "score": "uplift.scoring",
    "Tracking": "uplift.tracking.store",
    "Campaign": "uplift.campaign",
    "Programme": "uplift.programme",
    "ProgrammePrior": "uplift.sizing.programme_prior",
    "choose_control_size": "uplift.sizing.universal",
}

__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from uplift.analysis.analyse import analyse as analyse
    from uplift.analysis.long_term import reread as reread
    from uplift.analysis.market_reading import market_shock as market_shock
    from uplift.analysis.pushed_down import analyse_table as analyse_table
    from uplift.analysis.pushed_down import analysis_sql as analysis_sql
    from uplift.analysis.reread_periods import reread_periods as reread_periods
    from uplift.analysis.surrogates import surrogate_index as surrogate_index
    from uplift.arms import Arm as Arm
    from uplift.assignment.assign import assign as assign
    from uplift.assignment.assign import assign_from as assign_from
    from uplift.assignment.legacy import assign_as as assign_as
    from uplift.assignment.order import Lists as Lists
    from uplift.assignment.placebo import placebo_balance as placebo_balance
    from uplift.assignment.report import assignment_report as assignment_report
    from uplift.assignment.sql import arm_sql as arm_sql
    from uplift.campaign import Campaign as Campaign
    from uplift.contacts.plan import plan_contacts as plan_contacts
    from uplift.contacts.policy import ContactPolicy as ContactPolicy
    from uplift.customers.view import customer_view as customer_view
    from uplift.economics import Economics as Economics
    from uplift.eligibility import eligible as eligible
    from uplift.evaluation.quality import evaluate as evaluate
    from uplift.evaluation.roi import roi as roi
    from uplift.experiment import Experiment as Experiment
    from uplift.experiment import load_experiment as load_experiment
    from uplift.explanation.chosen import explain_choice as explain_choice
    from uplift.explanation.explain import explain as explain
    from uplift.models.class_transformation import ClassTransformation as ClassTransformation
    from uplift.models.dose import DoseResponse as DoseResponse
    from uplift.models.forest import CausalForest as CausalForest
    from uplift.models.learners import SLearner as SLearner
    from uplift.models.learners import TLearner as TLearner
    from uplift.models.learners import XLearner as XLearner
    from uplift.models.score_learners import DRLearner as DRLearner
    from uplift.models.score_learners import RLearner as RLearner
    from uplift.models.score_learners import TransformedOutcome as TransformedOutcome
    from uplift.models.train import train as train
    from uplift.objectives import Objectives as Objectives
    from uplift.programme import Programme as Programme
    from uplift.promotion import promote as promote
    from uplift.promotion import rollback as rollback
    from uplift.registry.past import past_effects as past_effects
    from uplift.registry.pooling import learned as learned
    from uplift.registry.pooling import pool as pool
    from uplift.registry.registry import Registry as Registry
    from uplift.rehearsal.past_waves import history_of_waves as history_of_waves
    from uplift.rehearsal.simulate import simulate_plan as simulate_plan
    from uplift.scoring import score as score
    from uplift.sizing.plan import design as design
    from uplift.sizing.programme_prior import ProgrammePrior as ProgrammePrior
    from uplift.sizing.targeting import uplift_power as uplift_power
    from uplift.sizing.universal import (
        choose_control_size as choose_control_size,
    )
    from uplift.tracking.runs import log_run as log_run
    from uplift.tracking.store import Tracking as Tracking
    from uplift.trial import Trial as Trial


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'uplift' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
