"""A small trained suite, and one MLflow store for the tests of this folder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from uplift.checks import Check
from uplift.evaluation.roi import roi
from uplift.experiment import Experiment, load_experiment
from uplift.models.train import train
from uplift.table import Result, Table
from uplift.tracking.runs import Run, log_run
from uplift.tracking.store import Tracking
from uplift.trial import Trial

N_UNITS = 800
PROVEN = Check("gain_over_nobody", passed=True, value=0.4, bound=0.0)
NOT_PROVEN = Check(
    "gain_over_everyone",
    passed=False,
    value=-0.2,
    bound=0.0,
    remedy="Send the best arm to everyone.",
    code="GAIN_NOT_PROVEN",
)


@dataclass(frozen=True)
class Judged(Result):
    """Stands for an evaluation, with gates as a test wants them."""

    checks: tuple[Check, ...] = (PROVEN,)

    def gates(self, candidate: str | None = None) -> tuple[Check, ...]:
        return self.checks

    def metrics(self) -> dict[str, float]:
        return {"qini.t.email": 0.25, "qini.my+model.email": 0.5, "not.a.number": float("nan")}

    def table(self) -> Table:
        return Table("Judged", (), ())


@pytest.fixture(scope="session")
def experiment(root) -> Experiment:
    return load_experiment(root / "experiments" / "spring_voucher")


@pytest.fixture(scope="session")
def trial(experiment) -> Trial:
    """Noise and a clear effect of e-mail: what matters is where numbers go, not what they are."""
    rng = np.random.default_rng(3)
    arm = np.arange(N_UNITS) % 4
    features = pd.DataFrame(
        {
            "recency": rng.integers(1, 100, N_UNITS),
            "spend_before": rng.gamma(2, 30, N_UNITS),
            "segment": pd.Series(rng.choice(["gold", "new", "silver"], N_UNITS), dtype="str"),
        }
    )
    features.loc[::17, "spend_before"] = np.nan
    outcomes = {name: (rng.random(N_UNITS) < 0.3) * 1.0 for name in experiment.outcome_columns}
    outcomes["spend"] = rng.gamma(2, 20, N_UNITS) + 60 * (arm == 1) * (features["recency"] < 50)
    outcomes["redeemed"] = outcomes["redeemed"] * (arm > 0)
    return Trial(
        units=np.array([f"household-{i:04d}" for i in range(N_UNITS)], dtype=object),
        features=features,
        arms=experiment.arm_names,
        arm=arm,
        outcomes={name: np.asarray(values) for name, values in outcomes.items()},
        propensity=np.full((N_UNITS, 4), 0.25),
        primary="spend",
        experiment=experiment.id,
        economics=experiment.economics,
    )


@pytest.fixture(scope="session")
def suite(trial):
    return train(trial, ["t"], n_folds=2, seed=1)


@pytest.fixture(scope="session")
def roi_table(suite, trial):
    return roi(suite.candidates["t"], trial, suite=suite)


@pytest.fixture(scope="session")
def customers(trial) -> pd.DataFrame:
    """The trial's customers as a table to score."""
    return trial.features.assign(unit=trial.units)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Tracking:
    """Making MLflow's tables takes seconds, so the tests share one store."""
    return Tracking(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def log(experiment, suite, roi_table, trial, store) -> Callable[..., Run]:
    """Log the suite under an experiment id of the test's own, with the gates it wants."""

    def log_as(
        name: str, *checks: Check, table: Any = roi_table, trained: Any = suite, **more: Any
    ) -> Run:
        own = experiment.model_copy(update={"id": name})
        given = {"trial": trial, "tracking": store} | more
        return log_run(own, trained, Judged(checks or (PROVEN,)), table, **given)

    return log_as
