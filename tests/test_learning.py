"""Past experiments together: the mean is covered, winners are shrunken, the next begins there."""

import json
import shutil
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.campaign import Campaign
from uplift.cli import main
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from, load_experiment
from uplift.files import write_text
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.registry.past import ArmEffect, averaged, past_readings
from uplift.registry.pooling import priors_of
from uplift.registry.registry import Registry
from uplift.strict_yaml import parse_yaml

PLAN = """
id: {id}
title: Letter {id}
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 1/3}}
  - {{name: letter, share: 1/3, channel: post, unit_cost: 0.1}}
  - {{name: mail, share: 1/3, channel: email, unit_cost: 0.1}}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 7,
             owner: crm}}
    minimum_effect: 0.05
  no_guardrails_because: A test of learning.
schedule: {{starts_at: {starts}, timezone: Europe/Paris, response_days: 7}}
analysis: {{looks_days: [7], decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: spend, margin_rate: 0.5}}
"""
KEY = "spend@1"
MEAN, BETWEEN = 0.04, 0.04  # of the true relative effects
R = 150
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def promise(experiment):
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))


def data(rng, effects, n):
    """Spend of three arms whose treatments have these relative effects."""
    arm = rng.permutation(np.resize(["control", "letter", "mail"], n))
    factor = pd.Series([1 + effects.get(name, 0.0) for name in arm])
    unit = [f"c{i}" for i in range(n)]
    spend = 20 * rng.gamma(4, 0.25, n) * factor.to_numpy()
    return pd.DataFrame({"unit": unit, "arm": arm}), pd.DataFrame({"unit": unit, "spend": spend})


def keep(registry, name, effects, rng, *, n=900, kind="campaign_holdout", day=0, decide=True):
    """Run an experiment: its definition, analysis and decision in the registry."""
    text = definition(name, kind=kind, day=day)
    experiment = experiment_from(parse_yaml(text))
    write_text(text, registry.root / name / "experiment.yaml")
    assigned, outcomes = data(rng, effects, n)
    if effects.get("torn"):
        assigned = assigned[(assigned["arm"] != "mail") | (np.arange(n) % 2 == 0)]
    report = up.analyse(
        experiment, assigned, outcomes, missing="refuse", as_of=experiment.schedule.closes_at
    )
    registry.seal(experiment, promise(experiment))
    file = registry.root / name / "analysis.json"
    write_text(report.to_json(), file)
    for state in ("assigned", "live", "maturing"):
        registry.advance(name, state)
    registry.advance(name, "read", artefacts={"analyse": file})
    if decide:
        registry.decide(name, "retest", "not proven")
    return report


def definition(name, *, kind="campaign_holdout", day=0):
    """The text of an experiment that starts on this day."""
    starts = datetime(2017, 1, 2, 8) + timedelta(days=day)
    return PLAN.format(id=name, starts=starts.isoformat(), kind=kind)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The files of forty small experiments, and their true effects by id.

    One is analysed; the others have its report with their own numbers, which is quicker.
    """
    rng, root, truth = np.random.default_rng(4), tmp_path_factory.mktemp("many"), {}
    first = experiment_from(parse_yaml(definition("test_00")))
    report = up.analyse(first, *data(rng, {}, 300), as_of=first.schedule.closes_at)
    for i in range(40):
        name = f"test_{i:02}"
        own = truth[name] = float(rng.normal(MEAN, BETWEEN))
        found = estimates(*data(rng, {"letter": own, "mail": own}, 900))
        effects = tuple(replace(row, estimate=found[row.treatment]) for row in report.effects)
        written = replace(report, experiment=name, effects=effects)
        write_text(definition(name, day=7 * (40 - i)), root / name / "experiment.yaml")
        write_text(written.to_json(), root / name / "analysis.json")
    return root, truth


def estimates(assigned, outcomes):
    """Each treatment's effect, by Welch."""
    both = assigned.merge(outcomes, on="unit")
    arms = {arm: Moments.of(part, ["spend"]) for arm, part in both.groupby("arm")}
    control = arms.pop("control")
    return {arm: welch(one, control, column="spend") for arm, one in arms.items()}


@pytest.mark.slow
def test_forty_experiments_of_a_registry_are_learned_from(few):
    rng = np.random.default_rng(4)
    for i in range(40):
        own = float(rng.normal(MEAN, BETWEEN))
        effects = {"letter": own, "mail": own}
        keep(few, f"test_{i:02}", effects, rng, day=7 * i, decide=i % 3 > 0)
    past = up.past_effects(few)
    assert len(past.rows) == 40  # also those that are not decided
    pooled = up.learned(few).pooled[0]
    assert pooled.ci[0] <= MEAN <= pooled.ci[1]


@pytest.fixture
def few(tmp_path):
    return Registry(tmp_path / "experiments")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_forty_experiments_cover_their_mean_and_shrunken_winners_are_worth_what_they_say(many):
    folder, truth = many
    past = up.past_effects(folder)
    assert len(past.rows) == 40  # also those that were lost
    assert past.rows[0].experiment == "test_39"  # the oldest
    pooled = up.pool(past)
    assert pooled.ci[0] <= MEAN <= pooled.ci[1]
    winners = pooled.winners
    assert 3 < len(winners) < 40
    own = {row.experiment: row.effect for row in past.rows}
    raw, shrunken = (sum(part[name] for name in winners) for part in (own, pooled.shrunken))
    true = sum(truth[name] for name in winners)
    assert abs(shrunken - true) < abs(raw - true)
    prior = pooled.prior()
    assert prior.mean == pytest.approx(MEAN, abs=0.03)
    assert prior.std_dev == pytest.approx(BETWEEN, abs=0.03)
    assert prior.source.startswith("40 past experiments: test_39")


def test_the_mean_and_the_next_experiment_are_covered_and_the_mean_of_winners_is_not():
    rng = np.random.default_rng(5)
    mean, new, naive = [], [], []
    for _ in range(R):
        error = rng.uniform(0.02, 0.08, 12)
        effect = rng.normal(MEAN, BETWEEN, 12) + error * rng.normal(size=12)
        names = [f"e{i}" for i in range(12)]
        table = pd.DataFrame({"experiment": names, "effect": effect, "std_error": error})
        pooled = up.pool(table)
        mean.append(pooled.ci[0] <= MEAN <= pooled.ci[1])
        low, high = pooled.prediction_interval
        new.append(low <= rng.normal(MEAN, BETWEEN) <= high)
        best = table[table["experiment"].isin(pooled.winners)]
        if len(best) >= 2:
            published = up.pool(best)
            naive.append(published.ci[0] <= MEAN <= published.ci[1])
    assert np.mean(mean) >= 0.95 - BAND
    assert np.mean(new) >= 0.95 - BAND
    assert np.mean(naive) < 0.95 - BAND


def test_treatments_of_one_experiment_share_the_control_and_their_mean_knows_it():
    rng = np.random.default_rng(6)
    found, told, apart = [], [], []
    for _ in range(300):
        read = estimates(*data(rng, {"letter": 0.1, "mail": 0.1}, 300))
        arms = [
            ArmEffect(arm, one.effect, one.std_error, (np.nan, np.nan), 100, 100)
            for arm, one in read.items()
        ]
        effect, error = averaged(arms, [1, 1], relative=False)
        found.append(effect)
        told.append(error)
        apart.append(np.hypot(arms[0].std_error, arms[1].std_error) / 2)
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.15)
    assert np.mean(apart) < 0.85 * np.std(found)  # as if they were independent


def test_a_relative_error_is_that_of_the_delta_method(few):
    rng = np.random.default_rng(7)
    keep(few, "one", {"letter": 0.2, "mail": 0.0}, rng, n=3_000)
    arm = past_readings(few)[0].arms(KEY)[0]
    assigned, outcomes = data(np.random.default_rng(7), {"letter": 0.2, "mail": 0.0}, 3_000)
    both = assigned.merge(outcomes, on="unit")
    t, c = (Moments.of(both[both["arm"] == a], ["spend"]) for a in ("letter", "control"))
    top, base = t.mean_of("spend"), c.mean_of("spend")
    parts = [t.variance("spend") / t.count / base**2, c.variance("spend") / c.count]
    parts[1] *= (top / base**2) ** 2
    assert arm.relative[0] == pytest.approx(top / base - 1)
    assert arm.relative[1] == pytest.approx(np.sqrt(sum(parts)), rel=0.02)


def test_what_cannot_count_is_named(few):
    rng = np.random.default_rng(8)
    keep(few, "fine", {"letter": 0.1, "mail": 0.1}, rng)
    keep(few, "torn", {"letter": 0.1, "mail": 0.1, "torn": True}, rng)
    keep(few, "control_of_all", {"letter": 0.1, "mail": 0.1}, rng, kind="universal_control")
    few.seal(*_sealed_only(few))
    past = up.past_effects(few)
    assert [row.experiment for row in past.rows] == ["fine"]
    assert set(past.left_out) == {"torn"}
    assert "sample_ratio failed" in str(past)
    kinds = up.past_effects(few, kind="universal_control")
    assert [row.experiment for row in kinds.rows] == ["control_of_all"]
    with pytest.raises(DataError) as caught:
        up.pool(past)
    assert caught.value.code == "EFFECTS_FEW"
    with pytest.raises(DataError) as caught:
        up.learned(few)
    assert caught.value.code == "EFFECTS_FEW"
    with pytest.raises(DefinitionError, match=r"spend@1 \(2\)") as caught:
        up.past_effects(few, metric="margin@1")
    assert caught.value.code == "METRIC_UNKNOWN"
    file = few.root / "fine" / "analysis.json"
    file.write_text(file.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        up.past_effects(few)
    assert caught.value.code == "FILE_CHECKSUM"


def _sealed_only(registry):
    text = PLAN.format(id="planned", starts="2017-01-02T08:00:00", kind="ab_test")
    experiment = experiment_from(parse_yaml(text))
    return experiment, promise(experiment)


def test_a_folder_without_a_registry_is_read_by_its_files(few, tmp_path):
    rng = np.random.default_rng(13)
    keep(few, "one", {"letter": 0.1, "mail": 0.1}, rng)
    shutil.copytree(few.root / "one", tmp_path / "copy" / "one")
    with_registry = up.past_effects(str(few.root))
    assert up.past_effects(tmp_path / "copy").rows[0].effect == with_registry.rows[0].effect
    assert with_registry.rows[0].decision == "retest"
    with pytest.raises(DefinitionError) as caught:
        up.past_effects(tmp_path / "nothing")
    assert caught.value.code == "METRIC_UNKNOWN"


def test_a_child_expects_what_all_have_shown_once_there_are_three(few):
    rng = np.random.default_rng(9)
    report = keep(few, "first", {"letter": 0.5, "mail": 0.0}, rng, n=300)
    keep(few, "second", {"letter": 0.0, "mail": 0.0}, rng)
    parent = few.definition("first")
    best = report.best_arm
    assert priors_of(few, parent, decision="retest", best_arm=best) == {}
    keep(few, "third", {"letter": 0.1, "mail": 0.1}, rng)
    raw = report.relative_effects()[KEY]
    pooled = up.pool(up.past_effects(few))
    again = priors_of(few, parent, decision="retest", best_arm=best)[KEY]
    assert pooled.mean < again.mean < raw[0]  # drawn towards the others
    assert again.std_dev < raw[1]
    assert again.source == "first (retest), drawn towards 3 past experiments"
    other = priors_of(few, parent, decision="stop", best_arm=best)[KEY]
    assert other == pooled.prior()
    assert other.std_dev > again.std_dev  # of an arm that nobody has seen


def test_the_best_of_several_arms_is_drawn_to_what_it_is_worth():
    rng = np.random.default_rng(10)
    raw, drawn = [], []
    for _ in range(60):
        truth = rng.normal(MEAN, BETWEEN, 30)
        read = truth + 0.05 * rng.normal(size=30)
        names = [f"e{i}" for i in range(30)]
        pooled = up.pool(pd.DataFrame({"experiment": names, "effect": read, "std_error": 0.05}))
        best = int(np.argmax(read))
        prior = pooled.shrunk(read[best], 0.05, source="the best")
        raw.append((read[best] - truth[best]) / 0.05)
        drawn.append((prior.mean - truth[best]) / prior.std_dev)
    error = 1 / np.sqrt(60)
    assert np.mean(raw) > 5 * error
    assert abs(np.mean(drawn)) < 3.5 * error
    assert np.std(drawn) == pytest.approx(1.0, abs=0.35)


def test_the_commands_learn_and_seed_a_child(few, run):
    rng = np.random.default_rng(11)
    root = ("--root", few.root.parent)
    code, _, err = run("learn", *root)
    assert (code, err.split(":")[0]) == (2, "EFFECTS_FEW")
    for i in range(3):
        keep(few, f"test_{i}", {"letter": 0.2, "mail": 0.1}, rng, day=7 * i)
    code, out, _ = run("learn", *root)
    assert code == 0
    assert KEY in out
    code, out, _ = run("learn", "--metric", KEY, *root)
    assert code == 0
    assert "3 experiments moved spend@1 by +" in out
    assert "The next one is to be expected within" in out
    code, out, _ = run("learn", "--metric", KEY, "--kind", "campaign_holdout", "--json", *root)
    rows = json.loads(out)["experiments"]
    assert [row["experiment"] for row in rows] == ["test_0", "test_1", "test_2"]
    assert run("learn", "--metric", "margin@1", *root)[0] == 2
    code, out, err = child(few, "test_2", run, root)
    assert (code, "drawn towards 3 past experiments" in out) == (0, True), err
    prior = load_experiment(few.root / "next_one").metrics.primary.prior
    best = Campaign(few.root / "test_2").reading().best_arm
    own = [a for r in past_readings(few) for a in r.arms(KEY) if a.treatment == best]
    assert prior.mean != own[2].relative[0]


def child(registry, name, run, root):
    """Write a child; its parent's tables are needed to read it again."""
    experiment = registry.definition(name)
    folder = registry.root / name
    assigned, outcomes = data(np.random.default_rng(12), {"letter": 0.2, "mail": 0.1}, 900)
    assigned.to_parquet(folder / "assignment.parquet")
    outcomes.to_parquet(folder / "outcomes.parquet")
    assigned[["unit"]].to_parquet(folder / "customers.parquet")
    assert experiment.id == name
    return run("child", name, "next_one", *root)


def test_the_words_tell_winners_from_what_they_are_worth(many):
    pooled = up.pool(up.past_effects(many[0], metric=KEY))
    text = " ".join(pooled.words)
    assert "40 experiments moved spend@1 by +" in text
    assert "read as gains beyond chance, +" in text
    assert "next one" in str(pooled)
    nothing = up.pool(
        pd.DataFrame({"experiment": ["a", "b"], "effect": [0.0, 0.1], "std_error": [0.2, 0.2]})
    )
    assert "None of them reads as a gain" in nothing.words[-1]
