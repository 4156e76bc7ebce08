"""The verdicts on the real e-mail test, from the learners and the cross-fit of the package."""

import numpy as np
import pandas as pd
import pytest

from uplift.economics import Economics
from uplift.evaluation.quality import evaluate
from uplift.models.train import train
from uplift.trial import Trial

ARMS = {"No E-Mail": "control", "Mens E-Mail": "mens_email", "Womens E-Mail": "womens_email"}
FEATURES = ["recency", "history", "mens", "womens", "zip_code", "newbie", "channel"]
LEARNERS = ["s", "t", "x", "dr"]


@pytest.fixture(scope="module")
def trial(hillstrom_file):
    table = pd.read_csv(hillstrom_file)
    names = tuple(ARMS.values())
    return Trial(
        units=np.array([f"h{i}" for i in range(len(table))], dtype=object),
        features=table[FEATURES],
        arms=names,
        arm=table["segment"].map(ARMS).map(names.index).to_numpy(),
        outcomes={name: table[name].to_numpy(float) for name in ("visit", "spend")},
        propensity=np.full((len(table), 3), 1 / 3),
        primary="spend",
        economics=Economics(currency="USD", value_outcome="spend"),
    )


@pytest.mark.slow
def test_targeting_visits_is_proven_for_womens_and_not_for_mens_merchandise(trial):
    quality = evaluate(train(trial, LEARNERS, outcome="visit", seed=7), trial, n_bootstrap=50)
    assert quality.ranking_verdict("womens_email") == "proven"
    assert quality.ranking_verdict("mens_email") == "not proven"
    assert quality.unit == "visit"


@pytest.mark.slow
def test_for_spend_the_best_blanket_email_is_recommended_and_targeting_is_not_proven(trial):
    quality = evaluate(train(trial, LEARNERS, outcome="spend", seed=7), trial, n_bootstrap=50)
    assert quality.recommended == "everyone:mens_email"
    assert quality.targeting == "not proven"
    assert quality.policy("everyone:mens_email").value == pytest.approx(1.42, abs=0.02)
    gain = next(g for g in quality.gains if (g.policy, g.over) == ("everyone:mens_email", "nobody"))
    assert gain.value == pytest.approx(0.7698, abs=0.1453)
    assert gain.std_error < 0.147
