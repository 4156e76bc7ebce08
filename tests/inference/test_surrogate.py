import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.periods import covariances_of
from uplift.inference.surrogate import check_surrogacy, direct_effect, effect_by_index, fit_index

NAMES = ["visits", "spend"]
COLUMNS = [*NAMES, "year"]
R = 300
BAND = 3 * np.sqrt(0.05 * 0.95 / R)
WORTH = np.array([2.0, 3.0])
GAIN = np.array([0.3, 0.2])  # of a campaign, on the surrogates


def customers(rng, n, *, gain=0.0, direct=0.0, worth=WORTH):
    """Visits and spend of the first weeks, and a year that follows from them, unequally noisy."""
    s = rng.multivariate_normal([4.0, 2.0], [[1.0, 0.4], [0.4, 1.0]], n) + gain
    noise = rng.normal(0, 1, n) * (1 + 0.5 * np.abs(s[:, 0] - 4))
    return s, 5.0 + s @ worth + direct + noise


def moments(s, year):
    data = {"visits": s[:, 0], "spend": s[:, 1], "year": year}
    return Moments.of(data, COLUMNS, covariances_of(COLUMNS))


def trial(rng, n=400, **options):
    return moments(*customers(rng, n, gain=GAIN, **options)), moments(*customers(rng, n))


def test_the_index_is_least_squares_with_a_robust_covariance():
    rng = np.random.default_rng(1)
    s, year = customers(rng, 300)
    index = fit_index(s, year, names=NAMES)
    oracle = sm.OLS(year, sm.add_constant(s - s.mean(axis=0))).fit(cov_type="HC3")
    np.testing.assert_allclose([index.level, *index.slope], oracle.params, rtol=1e-9)
    np.testing.assert_allclose(index.covariance, oracle.cov_params(), rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(index.predict(s), oracle.fittedvalues, rtol=1e-9)
    assert index.r_squared == pytest.approx(oracle.rsquared, abs=0.03)


def coverage(seed, *, n_history, use, **options):
    rng = np.random.default_rng(seed)
    truth = float(WORTH @ GAIN) + options.get("direct", 0.0)
    inside = []
    for _ in range(R):
        index = fit_index(*customers(rng, n_history), names=NAMES)
        low, high = use(index, *trial(rng, **options))
        inside.append(low <= truth <= high)
    return np.mean(inside)


def by_index(index, t, c):
    return effect_by_index(index, t, c).estimate.ci


def index_taken_as_known(index, t, c):
    found = effect_by_index(index, t, c)
    half = 1.96 * found.sampling_error
    return found.estimate.effect - half, found.estimate.effect + half


def test_where_surrogacy_holds_the_long_term_effect_is_covered_with_a_short_history():
    covered = coverage(2, n_history=30, use=by_index, n=2_000)
    assert covered == pytest.approx(0.95, abs=BAND)


def test_an_index_taken_as_known_fails_the_same_check():
    assert coverage(2, n_history=30, use=index_taken_as_known, n=2_000) < 0.95 - BAND


def test_where_the_campaign_works_past_the_surrogates_it_is_not_covered():
    assert coverage(3, n_history=500, use=by_index, direct=1.0) < 0.2


def test_it_is_narrower_than_waiting_for_the_year_and_says_how_much_it_explains():
    rng = np.random.default_rng(4)
    index = fit_index(*customers(rng, 20_000), names=NAMES)
    t, c = trial(rng)
    found = effect_by_index(index, t, c)
    assert found.estimate.std_error < welch(t, c, column="year").std_error
    assert found.estimate.std_error == pytest.approx(
        np.hypot(found.sampling_error, found.index_error)
    )
    assert 0.8 < found.r_squared < 0.95
    assert "works through the surrogates only" in found.table().text()


def test_a_test_known_to_its_end_tells_whether_surrogates_miss_something():
    rng = np.random.default_rng(5)
    passed, failed, p_values = 0, 0, []
    for _ in range(100):
        index = fit_index(*customers(rng, 300), names=NAMES)
        holds = direct_effect(index, *trial(rng, n=500), outcome="year")
        broken = direct_effect(index, *trial(rng, n=500, direct=0.6), outcome="year")
        p_values.append(holds.p_value)
        passed += check_surrogacy(holds).passed
        failed += not check_surrogacy(broken).passed
    assert passed >= 95
    assert failed >= 95
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    check = check_surrogacy(broken)
    assert (check.code, check.blocking) == ("SURROGACY", False)


def test_another_worth_in_this_population_is_seen_as_well():
    rng = np.random.default_rng(6)
    index = fit_index(*customers(rng, 2_000), names=NAMES)
    other = {"worth": WORTH * 3}
    t = moments(*customers(rng, 3_000, gain=GAIN, **other))
    c = moments(*customers(rng, 3_000, **other))
    assert not check_surrogacy(direct_effect(index, t, c, outcome="year")).passed


def test_useless_surrogates_explain_nothing_out_of_sample():
    rng = np.random.default_rng(7)
    s, _ = customers(rng, 200)
    index = fit_index(s, rng.normal(size=200), names=NAMES)
    assert index.r_squared < 0.05


@pytest.mark.parametrize(
    ("surrogates", "outcome", "code"),
    [
        (np.zeros((50, 1)), np.zeros(50), "COLUMN_MISSING"),
        (np.full((50, 2), np.nan), np.zeros(50), "OUTCOME_MISSING"),
        (np.zeros((4, 2)), np.zeros(4), "ARM_TOO_SMALL"),
    ],
)
def test_history_that_cannot_be_fitted_is_refused(surrogates, outcome, code):
    with pytest.raises(DataError) as caught:
        fit_index(surrogates, outcome, names=NAMES)
    assert caught.value.code == code
