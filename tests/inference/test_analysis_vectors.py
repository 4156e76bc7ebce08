"""Published cases of other programs' analyses: each input option leads to an argument.

`ANSWERS` maps a category to a function of its inputs (and of which numbers are asked for); no case
is known by its name. Whatever such a function returns is compared with what was published, key by
key, at the tolerance of the case.
"""

import json
import math

import numpy as np
import pytest

from uplift.inference import (
    always_valid,
    group_sequential,
    multiplicity,
    sample_ratio,
    uniform_boundaries,
)
from uplift.inference import sample_ratio_sequential as daily
from uplift.inference.bayes import Prior, expected_losses
from uplift.inference.moments import Moments
from uplift.inference.parity import confseq, growthbook, spotify, statsig, tea_tasting
from uplift.inference.parity import growthbook_readings as readings
from uplift.inference.parity import tea_tasting_counts as counts
from uplift.inference.parity.aggregates import moments_of_sums, moments_of_variances
from uplift.inference.parity.growthbook_quantiles import QuantileBounds, quantile_effect
from uplift.inference.parity.growthbook_strata import Metric, poststratified_effect
from uplift.inference.proportion_tests import Events
from uplift.inference.ratios import covariance_of_ratios

FAMILIES = (
    "ttest",
    "proportion",
    "lift",
    "variance",
    "ratio",
    "cuped",
    "poststratification",
    "quantile",
    "sequential",
    "bayes",
    "multiplicity",
    "nonparametric",
    "srm",
)


# --- inputs ---


def moments(arm):
    """Of an arm given as sums, as rows, or as means, variances and covariances."""
    if "mean" in arm:
        pairs = {tuple(names.split("|")): value for names, value in arm.get("cov", {}).items()}
        return moments_of_variances(
            arm["n"], means=arm["mean"], variances=arm["var"], covariances=pairs
        )
    if all(isinstance(value, list) for value in arm.values()):
        names = list(arm)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        return Moments.of({name: np.array(v, dtype=float) for name, v in arm.items()}, names, pairs)
    columns = {name: value for name, value in arm.items() if isinstance(value, dict)}
    columns = columns or {"y": arm}
    return moments_of_sums(
        arm["n"],
        sums={name: column["sum"] for name, column in columns.items()},
        squares={
            name: column.get("sum_squares", column["sum"]) for name, column in columns.items()
        },
        products={
            (first, second): arm[f"{first}_{second}"]
            for first in columns
            for second in columns
            if f"{first}_{second}" in arm
        },
    )


def arms(inputs):
    return moments(inputs["treatment"]), moments(inputs["control"])


def growthbook_effect(inputs):
    """By the columns that there are: a mean, a ratio, either with columns before."""
    t, c = arms(inputs)
    options = {"difference": inputs.get("difference", "relative")}
    if "y" in t.columns:
        proportion = inputs["control"].get("type") == "proportion"
        return growthbook.mean_effect(t, c, column="y", proportion=proportion, **options)
    if "post" in t.columns:
        options |= {"column": "post", "covariate": "pre", "theta": inputs.get("theta")}
        return growthbook.cuped_effect(t, c, **options)
    if "m_post" in t.columns:
        return growthbook.cuped_ratio_effect(
            t,
            c,
            numerator="m_post",
            denominator="d_post",
            numerator_before="m_pre",
            denominator_before="d_pre",
            theta=inputs.get("theta"),
            **options,
        )
    return growthbook.ratio_effect(t, c, numerator="m", denominator="d", **options)


def test_options(inputs):
    return {
        "alternative": inputs.get("alternative", "two-sided"),
        "confidence": 1 - inputs.get("alpha", 0.05),
    }


test_options.__test__ = False  # the options of a test


def reading(found):
    return {
        "estimate": found.effect,
        "se": found.std_error,
        "ci": list(found.ci),
        "p_value": found.p_value,
    }


# --- answers ---


def welch(inputs, asked):
    return reading(readings.t_test(growthbook_effect(inputs), **test_options(inputs)))


def log_ratio(inputs, asked):
    """Means, ratios and CUPED of tea-tasting."""
    t, c = arms(inputs)
    found = tea_tasting.ratio_test(
        t,
        c,
        numerator=inputs["numer"],
        denominator=inputs.get("denom"),
        numerator_covariate=inputs.get("numer_covariate"),
        denominator_covariate=inputs.get("denom_covariate"),
        options=tea_tasting.Options(
            **test_options(inputs),
            equal_var=inputs.get("equal_var", False),
            use_t=inputs.get("use_t", True),
        ),
    )
    return {
        "control": found.control,
        "treatment": found.treatment,
        "effect": found.effect,
        "ci": list(found.ci),
        "rel": found.relative_effect,
        "rel_ci": list(found.relative_ci),
        "p_value": found.p_value,
        "statistic": found.statistic,
    }


def cuped_ratio(inputs, asked):
    if "numer" in inputs:
        return log_ratio(inputs, asked)
    found = welch(inputs, asked)
    if "negated_metric" in asked:
        negated = {
            **inputs,
            **{
                arm: {
                    name: [-x for x in values] if name.startswith("m") else values
                    for name, values in inputs[arm].items()
                }
                for arm in ("control", "treatment")
            },
        }
        found["negated_metric"] = welch(negated, {})
    return found


def theta(inputs, asked):
    names = ("pre", "post")
    arm = moments({name: inputs[name] for name in names})
    return growthbook.pooled_theta(arm, arm, "post", "pre")


def lift(inputs, asked):
    """An adjusted mean differs from the unadjusted one by a covariate's mean, with theta 1."""
    base = inputs["unadjusted_control_mean"] or inputs["mean_control"]
    before = base - inputs["mean_control"]
    t, c = (
        moments_of_variances(
            10,
            means={"post": inputs[name] + before, "pre": before},
            variances={"post": 1.0, "pre": 1.0},
            covariances={("post", "pre"): 0.2},
        )
        for name in ("mean_treatment", "mean_control")
    )
    difference = "relative" if inputs["relative"] else "absolute"
    options = {"column": "post", "covariate": "pre", "theta": 1.0, "difference": difference}
    return growthbook.cuped_effect(t, c, **options).effect


def delta_variance(inputs, asked):
    t, c = (
        moments_of_variances(
            inputs[f"n_{arm}"],
            means={"y": inputs[f"mean_{arm}"]},
            variances={"y": inputs[f"var_{arm}"]},
        )
        for arm in "tc"
    )
    difference = "relative" if inputs["relative"] else "absolute"
    return growthbook.mean_effect(t, c, column="y", difference=difference).std_error ** 2


def ratio_covariance(inputs, asked):
    names = "abcd"
    pairs = {tuple(pair.split("|")): value for pair, value in inputs["cov"].items()}
    arm = moments_of_variances(
        10, means=inputs["mean"], variances=dict.fromkeys(names, 1.0), covariances=pairs
    )
    return covariance_of_ratios(arm, first=("a", "b"), second=("c", "d"))


def proportion(inputs, asked):
    t, c = (Events(inputs[a]["successes"], inputs[a]["n"]) for a in ("treatment", "control"))
    method, options = inputs.get("method", "auto"), test_options(inputs)
    if "unpooled z interval" in method:
        found = spotify.chi_squared_test(t, c, confidence=options["confidence"])
        return {"effect": found.difference, "ci": list(found.ci), "p_value": found.p_value}
    found = counts.proportion_test(
        t,
        c,
        method=method,
        pooled=inputs.get("pooled", True),
        continuity_correction=inputs.get("continuity_correction", True),
        **options,
    )
    return {
        "control": found.control,
        "treatment": found.treatment,
        "effect": found.effect,
        "ci": list(found.ci),
        "rel": found.relative_effect,
        "rel_ci": list(found.relative_ci),
        "p_value": found.p_value,
    }


METRICS = {
    "count": Metric(columns=("y",)),
    "count_reg": Metric(columns=("post",), before=("pre",)),
    "ratio": Metric(columns=("m", "d")),
    "ratio_reg": Metric(columns=("m_post", "d_post"), before=("m_pre", "d_pre")),
}


def poststratification(inputs, asked):
    found = poststratified_effect(
        [arms(cell) for cell in inputs["strata"]],
        METRICS[inputs["metric"]],
        difference=inputs["difference"],
    )
    return {"n": found.n_units, **reading(readings.t_test(found, **test_options(inputs)))}


def prior_of(inputs):
    given = inputs.get("prior")
    if given is None or not given.get("proper", True):
        return None
    scale = given.get("prior_scale", "relative")
    return Prior(mean=given["mean"], std=math.sqrt(given["variance"]), scale=scale)


def posterior(effect, inputs):
    confidence = 1 - inputs.get("alpha", 0.05)
    higher = not inputs.get("inverse", False)
    found = readings.bayesian(
        effect, prior=prior_of(inputs), confidence=confidence, higher_is_better=higher
    )
    return {
        "estimate": found.mean,
        "ci": list(found.ci),
        "sd": found.std,
        "chance_to_win": found.chance_to_win,
        "risk_control_treatment": [found.loss_of_control, found.loss_of_treating],
    }


def gaussian_effect(inputs, asked):
    return posterior(growthbook_effect(inputs), inputs)


def risk(inputs, asked):
    below, above = expected_losses(inputs["mu"], inputs["sigma"])
    return {"risk_control_treatment": [above, below]}


def quantile(inputs, asked):
    t, c = (
        QuantileBounds(
            n_units=arm["n"],
            level=arm["nu"],
            value=arm["quantile_hat"],
            lower=arm["lower"],
            upper=arm["upper"],
            n_star=arm.get("n_star"),
        )
        for arm in (inputs["treatment"], inputs["control"])
    )
    effect = quantile_effect(t, c, difference=inputs["difference"])
    if "p_value" in asked:
        return reading(readings.t_test(effect, **test_options(inputs)))
    return posterior(effect, inputs)


def asymptotic_cs(inputs, asked):
    found = readings.sequential_test(
        growthbook_effect(inputs), tuning_n=inputs["tuning_n"], **test_options(inputs)
    )
    return reading(found)


def multiplier(inputs, asked):
    n, tuning = inputs["n_total"], inputs["tuning_n"]
    found = always_valid.multiplier(n, tuning_n=tuning, alpha=inputs["alpha"])
    return {"halfwidth_over_se": found}


def statsig_boundary(inputs, asked):
    assert inputs["equal_variance"]
    share = inputs["treatment_share"]
    found = statsig.critical_value(n_treatment=share, n_control=1 - share, alpha=inputs["alpha"])
    return {"z_critical": found}


def curve(inputs, asked):
    given = {name.lower(): value for name, value in inputs.items()}
    name = given.pop("fn")
    if name.endswith("normal_mixture_best_rho"):
        one_sided = name.startswith("one_sided")
        return uniform_boundaries.best_rho(
            given["v_opt"], alpha=given["alpha_opt"], one_sided=one_sided
        )
    positional = ("quantile_p", "v", "t") if "stitching" in name else ("s", "v", "t")
    first = [given.pop(key) for key in positional if key in given]
    return getattr(uniform_boundaries, name)(*first, **given)


def numbers(text):
    """'integers 71..1070'"""
    first, last = text.removeprefix("integers ").split("..")
    return np.arange(int(first), int(last) + 1)


def quantile_ab(inputs, asked):
    return confseq.quantile_ab_p_value(
        numbers(inputs["arm1"]),
        numbers(inputs["arm2"]),
        quantile_p=inputs["quantile_p"],
        t_opt=inputs["t_opt"],
        alpha_opt=inputs["alpha_opt"],
    )


def bernoulli_cs(inputs, asked):
    options = {name: inputs[name] for name in ("alpha", "t_opt", "alpha_opt")}
    return list(confseq.bernoulli_interval(inputs["successes"], inputs["n"], **options))


SPENDINGS = {
    "obf: ": group_sequential.obrien_fleming(2),
    "obf on total": group_sequential.obrien_fleming(1),
    "pocock": "pocock",
    "": "power_family",
}


def group_sequential_bounds(inputs, asked):
    fractions = inputs.get("information_fractions")
    if fractions is None:
        fractions = group_sequential.information_fractions(
            inputs["cumulative_n"], planned=inputs["planned_n"]
        )
    name = next(name for name in SPENDINGS if inputs["spending"].startswith(name))
    found = group_sequential.spending_boundary(
        fractions,
        alpha=inputs["alpha"],
        sides=inputs["sides"],
        spending=SPENDINGS[name],
        smallest_spend=0.0 if name else 1e-7,
    )
    return {"z_bounds": found.z.tolist(), "adjusted_alpha": found.alpha_at_look.tolist()}


ADJUSTMENTS = {"bh": "benjamini_hochberg", "by": "benjamini_yekutieli"}


def adjusted(name):
    method = ADJUSTMENTS.get(name, name)
    return lambda inputs, asked: multiplicity.adjust(inputs["p"], method=method).tolist()


def mann_whitney(inputs, asked):
    control = np.arange(inputs["n_control"])
    treatment = len(control) + np.arange(inputs["n_treatment"])  # every one above every control
    found = counts.rank_test(treatment, control)
    return {
        "p_value": found.p_value,
        "statistic": found.statistic,
        "effect_auc": found.effect,
    }


def srm_chi2(inputs, asked):
    return sample_ratio.chi_squared_p_value(*inputs.values())


def srm_binomial(inputs, asked):
    return sample_ratio.binomial_p_value(
        inputs["control"],
        inputs["treatment"],
        ratio=inputs["ratio"],
        exact=inputs["method"] == "binom",
        continuity_correction=bool(inputs["continuity_correction"]),
    )


def srm_daily(inputs, asked):
    if "counts_sequence" not in inputs:
        pair = (inputs["log_marginal_m1"], inputs["log_marginal_m0"])
        return {
            "bayes_factor": daily.bayes_factor(*pair),
            "posterior_probability": daily.posterior_mismatch(*pair),
        }
    found = daily.sequential_ratio(
        inputs["counts_sequence"],
        shares=inputs["null_probabilities"],
        prior=inputs["dirichlet_alpha"],
    )
    return {
        "log_marginal_m1": found.log_alternative[-1],
        "log_marginal_m0": found.log_design[-1],
        "log_bayes_factor": found.log_bayes_factor[-1],
    }


ANSWERS = {
    "ttest.welch": welch,
    "ttest.welch_log_ratio": log_ratio,
    "ratio.delta": log_ratio,
    "ratio.covariance": ratio_covariance,
    "cuped.theta": theta,
    "cuped.mean": lambda inputs, asked: (log_ratio if "numer" in inputs else welch)(inputs, asked),
    "cuped.ratio": cuped_ratio,
    "lift.relative_sign": lift,
    "variance.delta": delta_variance,
    "proportion.two_sample": proportion,
    "poststratification": poststratification,
    "quantile.order_statistic": quantile,
    "bayes.gaussian_effect": gaussian_effect,
    "bayes.risk": risk,
    "sequential.asymptotic_cs": asymptotic_cs,
    "sequential.asymptotic_cs_multiplier": multiplier,
    "sequential.msprt_statsig": statsig_boundary,
    "sequential.confseq": curve,
    "sequential.quantile_ab": quantile_ab,
    "sequential.bernoulli_cs": bernoulli_cs,
    "sequential.group_sequential": group_sequential_bounds,
    "nonparametric.mannwhitney": mann_whitney,
    "srm.chi2": srm_chi2,
    "srm.binomial": srm_binomial,
    "srm.sequential_dirichlet": srm_daily,
    **{
        f"multiplicity.{name}": adjusted(name)
        for name in ("bonferroni", "sidak", "holm", "holm_sidak", "hochberg", "hochberg_sidak")
    },
    **{f"multiplicity.{name}": adjusted(name) for name in ADJUSTMENTS},
}


# --- comparison ---


@pytest.fixture(scope="module")
def cases(shared):
    found = json.loads((shared / "vectors" / "experimentation.json").read_text())["cases"]
    return [case for case in found if case["category"].split(".")[0] in FAMILIES]


def differences(found, expected, tolerance, where):
    """Where what was found is not what was published; an open end is null there, infinite here."""
    if isinstance(expected, dict):
        return [
            text
            for key, value in expected.items()
            for text in differences(found[key], value, tolerance, f"{where}.{key}")
        ]
    if isinstance(expected, list):
        pairs = list(zip(found, expected, strict=True))
        return [
            text
            for i, pair in enumerate(pairs)
            for text in differences(*pair, tolerance, f"{where}[{i}]")
        ]
    if expected is None:
        return [] if math.isinf(found) else [f"{where}: {found} should be unbounded"]
    if expected == "inf":
        return [] if found == math.inf else [f"{where}: {found} should be infinite"]
    near = abs(found - expected) <= tolerance
    return [] if near else [f"{where}: {found} is not {expected} within {tolerance}"]


def test_every_published_case_of_these_families_is_answered(cases):
    wrong, answered = [], set()
    for case in cases:
        answer = ANSWERS[case["category"]](case["inputs"], case["expected"])
        tolerance = case.get("tolerance") or 1e-9
        wrong += differences(answer, case["expected"], tolerance, case["id"])
        answered.add(case["id"])
    assert wrong == []
    assert answered == {case["id"] for case in cases}
    assert len(answered) >= 100


def test_the_comparison_finds_a_wrong_number_and_a_missing_key():
    assert differences({"ci": [1.0, math.inf]}, {"ci": [1.0, None]}, 1e-9, "x") == []
    assert differences({"ci": [1.0, 2.0]}, {"ci": [1.0, None]}, 1e-9, "x")
    assert differences([1.0], [1.001], 1e-5, "x")
    assert differences(math.nan, 1.0, 1e-5, "x")
    with pytest.raises(KeyError):
        differences({"ci": 1.0}, {"p_value": 1.0}, 1e-9, "x")
