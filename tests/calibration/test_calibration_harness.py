"""The harness itself: what it simulates is the package, and it fails what is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.calibration.all_cases import SIMULATED
from tests.calibration.analysed import analysed, experiment_of, prepared
from tests.calibration.analysis_cases import OTHERS
from tests.calibration.batches import moments_of_counts, moments_of_rows
from tests.calibration.harness import (
    Case,
    Measure,
    Uniform,
    around,
    at_least,
    at_most,
    run,
)
from tests.calibration.real_cases import cases as real_cases
from tests.calibration.sequential_cases import (
    running_z,
    running_z_of_lin,
    running_z_of_ratio,
)
from uplift.analysis.looks import LookRule
from uplift.inference.always_valid import multipliers
from uplift.inference.group_sequential import spending_boundary
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import lin


def test_moments_of_many_rows_are_those_of_each():
    rng = np.random.default_rng(1)
    data = {"y": 1e6 + rng.normal(0, 1, (5, 40)), "x": rng.exponential(1, (5, 40))}
    for i, found in enumerate(moments_of_rows(data, [("y", "x")])):
        one = Moments.of({k: v[i] for k, v in data.items()}, ["y", "x"], [("y", "x")])
        np.testing.assert_allclose(found.mean + found.rest, one.mean + one.rest, rtol=1e-15)
        np.testing.assert_allclose(found.comoment, one.comoment, rtol=1e-9)
        assert (found.columns, found.pairs, found.count) == (one.columns, one.pairs, one.count)
    for events, found in zip((0, 3, 40), moments_of_counts(np.array([0, 3, 40]), 40), strict=True):
        one = Moments.of({"y": np.arange(40) < events}, ["y"])
        assert found.mean_of("y") == pytest.approx(one.mean_of("y"))
        assert found.variance("y") == pytest.approx(one.variance("y"), abs=1e-15)


def test_paths_are_those_of_the_package_look_by_look():
    rng = np.random.default_rng(2)
    x, base = rng.normal(0, 1, (3, 200)), 1.0 + rng.poisson(2, (3, 200))
    y, arm = 1 + x + base * rng.exponential(1, (3, 200)), rng.random((3, 200)) < 0.3
    with np.errstate(invalid="ignore", divide="ignore"):
        paths = {
            "welch": running_z(y, arm),
            "ratio": running_z_of_ratio(y, base, arm),
            "lin": running_z_of_lin(y, x, arm),
        }
    for i, n in ((0, 30), (1, 77), (2, 200)):
        pairs = [("y", "x"), ("y", "b")]
        t, c = (
            Moments.of(
                {"y": y[i, :n][rows], "x": x[i, :n][rows], "b": base[i, :n][rows]}, "yxb", pairs
            )
            for rows in (arm[i, :n], ~arm[i, :n])
        )
        estimates = {
            "welch": welch(t, c, column="y"),
            "ratio": ratio(t, c, numerator="y", denominator="b"),
            "lin": lin(t, c, column="y", covariates=["x"]),
        }
        for name, found in estimates.items():
            z = found.effect / found.std_error
            assert paths[name][i, n - 1] == pytest.approx(z, rel=1e-8), name


def test_tables_are_read_as_analyse_reads_them():
    """Every row, the money and the decision, with a covariate that has gaps, and by household."""
    rng = np.random.default_rng(3)
    n = 600
    unit = [f"u{i}" for i in range(n)]
    code = np.arange(n) // 2
    spend, before = rng.lognormal(1, 1.5, n), rng.normal(5, 2, n)
    before[::7] = np.nan
    data = {
        "spend": spend * (rng.random(n) < 0.4),
        "orders": 1.0 + rng.poisson(1, n),
        "bought": (rng.random(n) < 0.02).astype(float),
        "opted_out": (rng.random(n) < 0.3).astype(float),
    }
    shares = {"control": "1/3", "mail": "2/3"}
    for cluster in ("", "household"):
        others = OTHERS if not cluster else "no_guardrails_because: None."
        plan = experiment_of(shares, covariate="before", others=others, cluster=cluster)
        arm = (code % 3 > 0).astype(np.int64)
        assigned = pd.DataFrame({"unit": unit, "arm": np.take(plan.arm_names, arm)})
        if cluster:
            assigned["cluster"] = [f"h{k}" for k in code]
        customers = pd.DataFrame({"unit": unit, "before": before})
        whole = up.analyse(plan, assigned, pd.DataFrame({"unit": unit, **data}), customers)
        wanted = {name: data[name] for name in plan.outcome_columns}
        source = prepared(plan, wanted, {"before": before}, cluster=code if cluster else None)
        found = analysed(source, arm)
        for one, other in zip(found.effects, whole.effects, strict=True):
            assert (one.method, one.verdict) == (other.method, other.verdict)
            assert one.estimate.ci == pytest.approx(other.estimate.ci, rel=1e-9, nan_ok=True)
            assert one.p_value == pytest.approx(other.p_value, rel=1e-8, nan_ok=True)
        assert found.money.rows[0].ci == pytest.approx(whole.money.rows[0].ci, rel=1e-9)
        first, second = found.decision, whole.decision
        assert (first.action, first.arm) == (second.action, second.arm)
        assert [one.code for one in first.reasons] == [one.code for one in second.reasons]


def test_bounds_of_the_analysis_are_those_that_are_simulated():
    for k in (1, 3, 5):
        fractions = tuple((i + 1) / 5 for i in range(k))
        rule = LookRule("look", fractions, "group_sequential")
        simulated = spending_boundary(np.arange(1, 6) / 5, spending="obrien_fleming").z[k - 1]
        assert rule.bound(0.05) == pytest.approx(simulated, rel=1e-6)
    for n in (20, 700, 10_000):
        rule = LookRule("look", (n / 10_000,), "always_valid", information=n, tuned_at=10_000)
        simulated = multipliers(np.array([n]), tuning_n=10_000)[0]
        assert rule.bound(0.05) == pytest.approx(simulated, rel=1e-9)


def biased(rate):
    """Hits at this rate, whatever is asked."""
    return lambda rng, reps: {"hit": rng.random(reps) < rate, "p": rng.random(reps) ** 0.7}


def test_a_rate_outside_its_band_fails_and_one_inside_passes():
    for band, good, bad in (
        (around(0.95), 0.95, 0.90),
        (around(0.95), 0.95, 0.99),
        (at_least(0.95), 0.99, 0.90),
        (at_most(0.05), 0.01, 0.10),
    ):
        for rate, passes in ((good, True), (bad, False)):
            case = Case("T", f"{band} {rate}", biased(rate), (Measure("hit", "hits", band),))
            assert (not run(case, 1_000).failed) is passes
    skewed = Case("T", "p-values", biased(0.5), (Measure("p", "uniform", Uniform()),))
    assert run(skewed, 1_000).failed


def test_a_wrong_variant_that_is_as_good_as_the_right_one_fails():
    harmless = Measure("hit", "hits", around(0.95))
    assert run(Case("T", "harmless", biased(0.95), (), (harmless,)), 1_000).failed
    assert not run(Case("T", "harmful", biased(0.7), (), (harmless,)), 1_000).failed


def test_what_is_outside_is_simulated_again_with_four_times_the_replications():
    asked = []

    def unlucky(rng, reps):
        asked.append(reps)
        rate = 0.90 if len(asked) == 1 else 0.95
        return {"hit": np.arange(reps) < rate * reps}

    done = run(Case("T", "unlucky", unlucky, (Measure("hit", "hits", around(0.95)),)), 1_000)
    assert asked == [1_000, 4_000]
    assert not done.failed
    assert done.findings[0].rate.seed == done.case.seed + 1


def test_no_band_is_wider_than_three_standard_errors_of_its_replications():
    low, high = around(0.95).limits(4_000)
    assert (round(low, 4), round(high, 4)) == (0.9397, 0.9603)
    assert at_most(0.05).limits(4_000)[1] == pytest.approx(0.0603, abs=1e-4)
    assert around(0.001).limits(100_000)[1] == pytest.approx(0.0013, abs=1e-5)


def test_every_case_has_a_name_of_its_own_and_is_in_the_page(root: Path):
    names = [f"{case.row}: {case.name}" for case in SIMULATED]
    assert len(set(names)) == len(names)
    assert len({case.seed for case in SIMULATED}) == len(names)
    text = (root / "docs" / "calibration.md").read_text(encoding="utf-8")
    missing = [name for name in names if name.replace("%", " %").replace("  %", " %") not in text]
    assert not missing, "renew the page: make calibration"
    assert "must be:" not in text  # no rate failed when it was written


def test_the_page_has_the_real_customers(root: Path, hillstrom_file: Path):
    text = (root / "docs" / "calibration.md").read_text(encoding="utf-8")
    names = [
        case.name.replace("%", " %").replace("  %", " %") for case in real_cases(hillstrom_file)
    ]
    assert all(f"S21: {name}" in text for name in names)
