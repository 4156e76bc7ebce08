"""The same symmetries of the whole analysis: ids, rows, columns, currencies and arms' names."""

import numpy as np
import pandas as pd
import pytest

from uplift.analysis.analyse import analyse
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

DEFINITION = """
id: mailing
title: Mailing
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.5}
  - {name: ARM, share: 0.5, unit_cost: 0.0}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm, covariate: before}
  secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


def campaign(seed):
    """Assignment, outcomes and customers of a small mailing."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(80, 300))
    unit = [f"c{i}" for i in range(n)]
    arm = np.resize(["control", "mail"], n)
    before = rng.gamma(2, 2, n)
    spend = before + rng.exponential(3, n) + 0.5 * (arm == "mail")
    bought = (rng.random(n) < 0.4).astype(int)
    return (
        pd.DataFrame({"unit": unit, "arm": arm}),
        pd.DataFrame({"unit": unit, "spend": spend, "bought": bought}),
        pd.DataFrame({"unit": unit, "before": before}),
    )


def read(frames, *, arm="mail"):
    experiment = experiment_from(parse_yaml(DEFINITION.replace("ARM", arm)))
    return analyse(experiment, *frames, as_of="2018-01-01").effects


def same(found, expected, factor=1.0):
    for one, other in zip(found, expected, strict=True):
        scale = factor if one.metric == "spend@1" else 1.0
        assert one.verdict == other.verdict
        assert one.effect == pytest.approx(scale * other.effect, rel=1e-9, abs=1e-12)
        assert one.ci == pytest.approx([scale * end for end in other.ci], rel=1e-8, abs=1e-12)
        assert one.p_adjusted == pytest.approx(other.p_adjusted, rel=1e-6)


def check(seed):
    frames = campaign(seed)
    base, rng = read(frames), np.random.default_rng(seed)
    names = {unit: f"k{i:05d}" for i, unit in enumerate(rng.permutation(frames[0]["unit"]))}
    same(read([frame.assign(unit=frame["unit"].map(names)) for frame in frames]), base)
    same(read([frame.sample(frac=1, random_state=seed) for frame in frames]), base)
    same(read([frame.assign(unused=rng.normal(size=len(frame))) for frame in frames]), base)
    assigned, outcomes, customers = frames
    cents = outcomes.assign(spend=100 * outcomes["spend"])
    same(read([assigned, cents, customers.assign(before=3 * customers["before"])]), base, 100.0)
    renamed = assigned.assign(arm=assigned["arm"].replace("mail", "letter"))
    same(read([renamed, outcomes, customers], arm="letter"), base)


@pytest.mark.parametrize("seed", range(2))
def test_names_order_unused_columns_and_currency_do_not_matter(seed):
    check(seed)


@pytest.mark.slow
def test_nor_in_thirty_other_campaigns():
    for seed in range(10, 40):
        check(seed)
