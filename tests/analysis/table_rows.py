"""A campaign as one table, and the comparison of a report of the table with that of the rows."""

import math

import numpy as np
import pytest

RICH = (  # every kind of metric that moments can tell, strata, segments and covariates
    ("covariate: spend_before}", "covariate: spend_before, cap: 19}"),
    (
        "  secondary:\n",
        "  secondary:\n"
        "    - metric: {name: basket, version: 1, title: Basket, column: spend, kind: ratio,\n"
        "               denominator: items, unit: EUR, window_days: 28, owner: crm,\n"
        "               covariate: spend_before}\n"
        "    - metric: {name: items, version: 1, title: Items, column: items, unit: items,\n"
        "               window_days: 28, owner: crm, covariate: age}\n",
    ),
    (
        "analysis: {decision_rule",
        "analysis: {strata: [region], segments: [tier, region], covariates: [age], decision_rule",
    ),
)
LEFT_OUT = {"influence", "data_digest", "checks"}


def rows_of(campaign):
    """The table: one row per unit with everything."""
    return campaign.assigned.merge(campaign.outcomes, on="unit").merge(
        campaign.customers, on="unit"
    )


def make_rich(make_campaign, *, changes=RICH, gaps=True, seed=3, **options):
    campaign = make_campaign(seed=seed, email=0.5, phone=1.5, changes=changes, **options)
    rng = np.random.default_rng(seed)
    n = len(campaign.assigned)
    campaign.outcomes["items"] = rng.poisson(1 + campaign.outcomes["spend"] / 10)
    age = rng.normal(45, 12, n)
    campaign.customers["age"] = np.where(rng.random(n) < 0.1, np.nan, age) if gaps else age
    campaign.customers["region"] = rng.choice(["nord", "süd", None], n, p=[0.5, 0.3, 0.2])
    campaign.customers["tier"] = rng.integers(1, 4, n)
    return campaign


def assert_same(found, expected, where="report", rel=1e-9):
    """Every number, however deep, to 1e-9; every word exactly."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}.{name}", rel)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{i}]", rel)
    elif isinstance(expected, float) and math.isfinite(expected):
        assert found == pytest.approx(expected, rel=rel, abs=1e-12), where
    elif isinstance(expected, float):
        assert repr(found) == repr(expected), where
    else:
        assert found == expected, where


def assert_reports_agree(found, expected):
    one, other = found.to_dict(), expected.to_dict()
    if found.as_of is None:  # both were read now
        one["look"]["as_of"] = other["look"]["as_of"]
    for name in LEFT_OUT:
        one.pop(name), other.pop(name)
    assert_same(one, other)
    mine = [check for check in found.checks if check.code != "NEEDS_ROWS"]
    theirs = [check for check in expected.checks if check.code != "INFLUENCE"]
    assert [c.name for c in mine] == [c.name for c in theirs]
    for check, same in zip(mine, theirs, strict=True):
        assert (check.passed, check.code) == (same.passed, same.code)
        if isinstance(same.value, float):
            assert check.value == pytest.approx(same.value, rel=1e-8, abs=1e-12), check.name
