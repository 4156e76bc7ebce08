"""One small road, walked once, for every test of the page and the charts."""

import pytest

import uplift as up
from uplift.contacts.policy import ContactPolicy
from uplift.datasets.plasmode import plasmode_campaign
from uplift.report.road import Road, Truth
from uplift.sizing.plan import design
from uplift.table import Column, Table

SPITEFUL = "<script>alert('x')</script> & \"co\""


@pytest.fixture(scope="session")
def road(root) -> Road:
    """A voucher campaign of 2,000 semi-synthetic customers, with a spiteful title."""
    experiment = up.load_experiment(root / "experiments" / "spring_voucher")
    experiment = experiment.model_copy(update={"title": f"Which channel? {SPITEFUL}"})
    data = plasmode_campaign(2_000, seed=3)
    assigned = up.assign(experiment, data.customers)
    outcomes = data.outcomes(assigned)
    trial = up.Trial.join(experiment, assigned, outcomes, data.customers)
    suite = up.train(trial, learners=["t", "response"], seed=3)
    quality = up.evaluate(suite, trial, seed=3, n_bootstrap=20)
    roi = up.roi(suite.candidates["t"], trial, suite=suite)
    policy = ContactPolicy.for_experiment(
        experiment, budget=1_500, max_volume={"telephone": 20}, min_volume={"post": 100}
    )
    return Road(
        experiment=experiment,
        design=design(experiment, data.customers),
        report=up.analyse(
            experiment,
            assigned,
            outcomes,
            data.customers,
            as_of=experiment.schedule.closes_at,
        ),
        suite=suite,
        quality=quality,
        roi=roi,
        plan=up.plan_contacts(roi, policy),
        history=Table("Audit trail", (Column("why"),), [(SPITEFUL,)]),
        files={"roi.parquet": "ab" * 32},
        label=data.label,
        truth=Truth(arms={"email": 1234.5, "post": -10.0, "telephone": -99.0}, plan=4321.0),
    )
