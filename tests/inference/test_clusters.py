import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from uplift.errors import DataError, DefinitionError
from uplift.inference import clusters
from uplift.inference.power import required_units
from uplift.inference.power_t import power_mean_nct


def members(n_clusters, correlation, seed, smallest=1, largest=8):
    rng = np.random.default_rng(seed)
    home = np.repeat(np.arange(n_clusters), rng.integers(smallest, largest + 1, n_clusters))
    alike = rng.normal(0, np.sqrt(correlation), n_clusters)[home]
    return 3 + alike + rng.normal(0, np.sqrt(1 - correlation), len(home)), home


def test_mean_squares_are_those_of_statsmodels():
    y, home = members(60, 0.4, seed=1)
    table = anova_lm(ols("y ~ C(home)", pd.DataFrame({"y": y, "home": home})).fit())
    between, within = table["mean_sq"]
    size = np.bincount(home)
    usual = (len(y) - np.sum(size**2) / len(y)) / (len(size) - 1)
    expected = (between - within) / (between + (usual - 1) * within)
    names = np.array([f"household {i}" for i in home])
    found = clusters.cluster_history(y, names)
    assert found.correlation == pytest.approx(expected, rel=1e-10)
    assert (found.n_clusters, found.n_units) == (60, len(y))
    assert found.variance == pytest.approx(np.var(y, ddof=1))


@pytest.mark.parametrize("correlation", [0.0, 0.05, 0.5])
def test_the_correlation_is_the_one_planted(correlation):
    found = [
        clusters.cluster_history(*members(400, correlation, seed=seed)).correlation
        for seed in range(60)
    ]
    assert np.mean(found) == pytest.approx(correlation, abs=3 * np.std(found) / np.sqrt(60))


def test_the_design_effect_is_how_much_the_mean_varies_more():
    rng = np.random.default_rng(2)
    size = rng.integers(1, 9, (4_000, 150))
    alike = rng.normal(0, np.sqrt(0.3), size.shape)
    total = size * alike + rng.normal(0, np.sqrt(0.7), size.shape) * np.sqrt(size)
    mean = total.sum(axis=1) / size.sum(axis=1)
    seen = np.var(mean) * size.sum(axis=1).mean()
    m = np.arange(1, 9)
    weighted = float(np.sum(m**2) / np.sum(m))
    found = clusters.design_effect(mean_size=4.5, weighted_size=weighted, correlation=0.3)
    assert found == pytest.approx(seen, rel=0.07)
    assert clusters.design_effect(mean_size=4.5, correlation=0.3) < 0.93 * seen  # sizes ignored


def test_clusters_of_one_are_units():
    n = clusters.required_clusters(0.1, variance=1.0, effect_of_design=1.0, mean_size=1.0)
    plain = required_units(0.1, control_share=0.5, treatment_share=0.5, control_variance=1.0)
    assert n == pytest.approx(plain, rel=2e-3)
    found = clusters.power_of_clusters(
        0.8,
        control_clusters=20,
        treatment_clusters=20,
        variance=1.0,
        effect_of_design=1.0,
        mean_size=1.0,
    )
    oracle = power_mean_nct(0.8, n_control=20, n_treatment=20, control_variance=1.0)
    assert found == pytest.approx(oracle, abs=1e-9)


def test_clusters_effect_and_power_are_one_equation():
    shape = {"variance": 2.0, "effect_of_design": 1.8, "mean_size": 3.0}
    arms = {"control_clusters": 30, "treatment_clusters": 90}
    effect = clusters.detectable_effect_of_clusters(**arms, **shape)
    assert clusters.power_of_clusters(effect, **arms, **shape) == pytest.approx(0.8, abs=1e-8)
    n = clusters.required_clusters(effect, control_share=0.25, treatment_share=0.75, **shape)
    assert n == pytest.approx(120, rel=0.02)


def test_negative_estimates_cost_nothing():
    y = np.array([1.0, -1.0] * 30)
    found = clusters.cluster_history(y, np.repeat(np.arange(30), 2))
    assert found.correlation == pytest.approx(-1.0)
    assert found.design_effect == 1.0


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda: clusters.cluster_history([1, 2], [1, 1]), DataError, "ARM_TOO_SMALL"),
        (lambda: clusters.cluster_history([1, 2], [1, 2]), DataError, "ARM_TOO_SMALL"),
        (lambda: clusters.cluster_history([], []), DataError, "ARM_TOO_SMALL"),
        (
            lambda: clusters.design_effect(mean_size=0.5, correlation=0.1),
            DefinitionError,
            "CLUSTER_INVALID",
        ),
        (
            lambda: clusters.power_of_clusters(
                1,
                control_clusters=0,
                treatment_clusters=3,
                variance=1,
                effect_of_design=1,
                mean_size=1,
            ),
            DefinitionError,
            "ARM_TOO_SMALL",
        ),
    ],
)
def test_clusters_that_say_nothing_are_refused(call, kind, code):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
