"""Curves that a martingale crosses at any time with probability at most alpha.

s is the sum so far, v its intrinsic time (the variance summed up to now): crossing `s >= bound(v)`
ever has probability at most `alpha`. A mixture is tuned to be tight at `v_opt`; a stitched bound
is loose nowhere by more than a factor. Which applies depends on the increments: normal (sums of
many units), Poisson (counts, bounded above by c), exponential (skewed, scale c) or 0/1.
Source: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49(2); for quantiles Howard
& Ramdas (2022), Bernoulli 28(3).
"""

import math
from collections.abc import Callable

from scipy import optimize, special

from uplift.errors import DefinitionError

SMALLEST_BETA_PRIOR = 1e-3  # of g h, when the tuning asks for less


def best_rho(v_opt: float, *, alpha: float = 0.05, one_sided: bool = False) -> float:
    """Precision of the normal mixture whose bound is lowest at `v_opt`.

    v_opt / (2 ln(1 / alpha) + ln(1 + 2 ln(1 / alpha))), with 2 alpha for one side
    """
    error = 2 * alpha if one_sided else alpha
    if not (v_opt > 0 and 0 < error < 1):
        raise DefinitionError(
            f"v_opt must be above 0 and alpha in (0, 1), got {v_opt} and {alpha}.",
            code="TUNING_INVALID",
        )
    squared = 2 * math.log(1 / error)
    return v_opt / (squared + math.log1p(squared))


def normal_log_mixture(
    s: float, v: float, *, v_opt: float, alpha_opt: float = 0.05, one_sided: bool = False
) -> float:
    """Log of the mixture martingale: evidence against "no drift"; above ln(1 / alpha) it is proven.

    ln(rho / (v + rho)) / 2 + s^2 / (2 (v + rho)), and + ln(2 Phi(s / sqrt(v + rho))) for one side
    """
    rho = best_rho(v_opt, alpha=alpha_opt, one_sided=one_sided)
    value = 0.5 * math.log(rho / (v + rho)) + s**2 / (2 * (v + rho))
    if one_sided:
        value += math.log(2) + float(special.log_ndtr(s / math.sqrt(v + rho)))
    return value


def normal_mixture_bound(
    v: float,
    *,
    alpha: float = 0.05,
    v_opt: float,
    alpha_opt: float = 0.05,
    one_sided: bool = False,
) -> float:
    """Bound on a sum of normal-like increments.

    Two-sided sqrt((v + rho) ln((v + rho) / (rho alpha^2))); one-sided by search.
    """
    if not one_sided:
        rho = best_rho(v_opt, alpha=alpha_opt)
        return math.sqrt((v + rho) * math.log((v + rho) / (rho * alpha**2)))
    return _crossing(
        lambda s: normal_log_mixture(s, v, v_opt=v_opt, alpha_opt=alpha_opt, one_sided=True),
        alpha,
        math.sqrt(v),
    )


def gamma_exponential_log_mixture(
    s: float, v: float, *, v_opt: float, c: float, alpha_opt: float = 0.05
) -> float:
    """Log of the mixture martingale of sub-exponential increments of scale c (one-sided)."""
    a = best_rho(v_opt, alpha=alpha_opt, one_sided=True) / c**2
    n, x = v / c**2 + a, (c * s + v) / c**2
    before = a * math.log(a) - special.gammaln(a) - math.log(special.gammainc(a, a))
    after = special.gammaln(n) + math.log(special.gammainc(n, x + a)) - n * math.log(x + a) + x
    return float(before + after)


def gamma_exponential_mixture_bound(
    v: float, *, alpha: float = 0.05, v_opt: float, c: float, alpha_opt: float = 0.05
) -> float:
    """Bound on a sum of sub-exponential increments of scale c (one-sided)."""
    return _crossing(
        lambda s: gamma_exponential_log_mixture(s, v, v_opt=v_opt, c=c, alpha_opt=alpha_opt),
        alpha,
        math.sqrt(v),
    )


def gamma_poisson_log_mixture(
    s: float, v: float, *, v_opt: float, c: float, alpha_opt: float = 0.05
) -> float:
    """Log of the mixture martingale of sub-Poisson increments of scale c (one-sided)."""
    a = best_rho(v_opt, alpha=alpha_opt, one_sided=True) / c**2
    b = v / c**2 + a
    n = s / c + b
    before = a * math.log(a) - special.gammaln(a) - math.log(special.gammaincc(a, a))
    after = special.gammaln(n) + math.log(special.gammaincc(n, b)) - n * math.log(b)
    return float(before + after + v / c**2)


def gamma_poisson_mixture_bound(
    v: float, *, alpha: float = 0.05, v_opt: float, c: float, alpha_opt: float = 0.05
) -> float:
    """Bound on a sum of sub-Poisson increments of scale c (one-sided)."""
    return _crossing(
        lambda s: gamma_poisson_log_mixture(s, v, v_opt=v_opt, c=c, alpha_opt=alpha_opt),
        alpha,
        math.sqrt(v),
    )


def beta_binomial_log_mixture(
    s: float,
    v: float,
    *,
    v_opt: float,
    g: float,
    h: float,
    alpha_opt: float = 0.05,
    one_sided: bool = False,
) -> float:
    """Log of the mixture martingale of increments between -g and h.

    A beta prior on the chance of h, with mean g / (g + h) where there is no drift; for one side it
    is cut there.
    """
    rho = best_rho(v_opt, alpha=alpha_opt, one_sided=one_sided)
    r = max(rho - g * h, SMALLEST_BETA_PRIOR * g * h)
    a, b = r / (h * (g + h)), r / (g * (g + h))
    ups, downs = (s + v / h) / (g + h), (v / g - s) / (g + h)
    value = v / (g * h) * math.log(g + h) - ups * math.log(g) - downs * math.log(h)
    value += float(special.betaln(a + ups, b + downs) - special.betaln(a, b))
    if one_sided:
        still = g / (g + h)
        value += math.log(special.betaincc(a + ups, b + downs, still))
        value -= math.log(special.betaincc(a, b, still))
    return value


def beta_binomial_mixture_bound(
    v: float,
    *,
    alpha: float = 0.05,
    v_opt: float,
    g: float,
    h: float,
    alpha_opt: float = 0.05,
    one_sided: bool = False,
) -> float:
    """Bound on a sum of increments between -g and h; inf while no sum is evidence enough."""

    def log_mixture(s: float) -> float:
        return beta_binomial_log_mixture(
            s, v, v_opt=v_opt, g=g, h=h, alpha_opt=alpha_opt, one_sided=one_sided
        )

    largest = v / g
    if log_mixture(largest) < math.log(1 / alpha):
        return math.inf
    return float(
        optimize.brentq(lambda s: log_mixture(s) - math.log(1 / alpha), 0.0, largest, xtol=1e-10)
    )


def poly_stitching_bound(
    v: float,
    *,
    alpha: float = 0.05,
    v_min: float,
    c: float = 0.0,
    s: float = 1.4,
    eta: float = 2.0,
) -> float:
    """Bound of the order of the iterated logarithm, for sub-gamma increments of scale c.

        sqrt(k1^2 v l + k2^2 c^2 l^2) + k2 c l
        l  = s ln(ln(eta v / v_min)) + ln(zeta(s) / (alpha ln(eta)^s))
        k1 = (eta^(1/4) + eta^(-1/4)) / sqrt(2),  k2 = (sqrt(eta) + 1) / 2

    v_min  intrinsic time from which the bound is meant to hold
    """
    time = max(v, v_min)
    k1, k2 = _stitching(eta)
    level = s * math.log(math.log(eta * time / v_min))
    level += math.log(float(special.zeta(s)) / (alpha * math.log(eta) ** s))
    linear = k2 * c * level
    return math.sqrt(k1**2 * time * level + linear**2) + linear


def double_stitching_bound(
    quantile_p: float,
    t: float,
    *,
    alpha: float = 0.05,
    t_opt: float,
    delta: float = 0.5,
    s: float = 1.4,
    eta: float = 2.0,
) -> float:
    """Bound on the count below a quantile less its mean, for all quantiles and times together.

    Stitched over times (ratio eta) and over a grid of quantiles (logit distance delta).
    """
    time = max(t, t_opt)
    k1, k2 = _stitching(eta)
    logit = float(special.logit(quantile_p))
    far = math.sqrt(time / t_opt) * abs(logit) / (2 * delta) + 1
    z = float(special.zeta(s))
    level = s * math.log(math.log(eta * time / t_opt)) + s * math.log(far)
    level += math.log(2 * z * (2 * z + 1) / (alpha * math.log(eta) ** s))
    linear = k2 * (1 - 2 * quantile_p) / 3 * level
    step = 2 * delta * math.sqrt(t_opt * eta / time)
    nearer = quantile_p if quantile_p >= 0.5 else min(0.5, float(special.expit(logit + step)))
    variance = nearer * (1 - nearer)
    rounding = delta * math.sqrt(eta * time / t_opt * variance)
    return rounding + math.sqrt(k1**2 * variance * time * level + linear**2) + linear


def empirical_process_lil_bound(
    t: float, *, alpha: float = 0.05, t_min: float, a: float = 0.85
) -> float:
    """Bound on the distance of an empirical distribution function, everywhere, at every time.

        a sqrt((ln(1 + ln(t / t_min)) + c) / t) from t_min on, inf before

    c is the smallest constant whose error 4 exp(-g c) (1 + 1 / ((g - 1) ln(eta))) is at most alpha
    for the best ratio eta of times, with g = 2 / eta (a - sqrt(2 (eta - 1) / c))^2 above 1.

    a  slope, above 1 / sqrt(2); a smaller one is tighter late and looser early
    """
    if not (a > 1 / math.sqrt(2) and t_min >= 1 and 0 < alpha < 1):
        raise DefinitionError(
            f"a must be above {1 / math.sqrt(2):.4f}, t_min at least 1 and alpha in (0, 1), got "
            f"{a}, {t_min} and {alpha}.",
            code="TUNING_INVALID",
        )
    if t < t_min:
        return math.inf
    top = 1.0
    while _lil_error(top, a) > alpha:
        top *= 2
    bottom = top / 2
    while bottom > 1e-3 and _lil_error(bottom, a) <= alpha:
        bottom /= 2
    c = float(optimize.brentq(lambda x: _lil_error(x, a) - alpha, bottom, top, xtol=1e-12))
    return a * math.sqrt((math.log1p(math.log(t / t_min)) + c) / t)


def _lil_error(c: float, a: float) -> float:
    """Least error of a constant over the ratios of times that it allows; at most 4."""

    def log_error(eta: float) -> float:
        g = 2 / eta * max(a - math.sqrt(2 * (eta - 1) / c), 0.0) ** 2
        if g <= 1:
            return math.log(4.0)
        return min(math.log(4.0), math.log(4 * (1 + 1 / ((g - 1) * math.log(eta)))) - g * c)

    def beyond(eta: float) -> float:
        return math.sqrt(eta / 2) + math.sqrt(2 * (eta - 1) / c) - a

    largest = float(optimize.brentq(beyond, 1.0, 2 * a * a, xtol=1e-14))
    tiny = 1e-12 * (largest - 1)
    found = optimize.minimize_scalar(
        log_error, bounds=(1 + tiny, largest - tiny), method="bounded", options={"xatol": 1e-12}
    )
    return math.exp(float(found.fun))


def _stitching(eta: float) -> tuple[float, float]:
    if not eta > 1:
        raise DefinitionError(f"eta must be above 1, got {eta}. Usual: 2.", code="TUNING_INVALID")
    return (eta**0.25 + eta**-0.25) / math.sqrt(2), (math.sqrt(eta) + 1) / 2


def _crossing(log_mixture: Callable[[float], float], alpha: float, start: float) -> float:
    """Where the rising log mixture reaches ln(1 / alpha)."""
    upper = start
    while log_mixture(upper) < math.log(1 / alpha):
        upper *= 2
    return float(
        optimize.brentq(lambda s: log_mixture(s) - math.log(1 / alpha), 0.0, upper, xtol=1e-10)
    )
