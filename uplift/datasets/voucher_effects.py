"""The planted effects of the plasmode campaign: what a voucher does to whom, by channel.

Written out in one place, because it is the truth that models are judged by.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

Array = npt.NDArray[np.float64]

ARMS = ("control", "email", "post", "telephone")
OUTCOMES = ("spend", "bought", "redeemed", "opted_out")


def plant_effects(
    features: pd.DataFrame, spend: Array, *, reference: pd.DataFrame, rng: np.random.Generator
) -> Mapping[str, Array]:
    """Potential outcomes of customers under each arm, by outcome, each (n_units, n_arms).

        spend under an arm = spend * (1 + change)      for those who buy anyway
                           = one basket or nothing     for those who would not have bought

    A customer harmed loses a share of what it spends, so spend never falls below 0 and nobody who
    does not buy spends, redeems or is counted as a buyer. All arms share a customer's luck.

    features   of the customers, real
    spend      (n_units,) real spending in four weeks, in currency
    reference  households whose ranks say what "often" or "much" means
    """
    traits = _traits(features, reference)
    basket = features["basket_mean_182d"].to_numpy(np.float64)
    luck = {name: rng.random(len(spend)) for name in ("comeback", "redeem", "leave")}
    columns: dict[str, list[npt.NDArray[np.floating]]] = {name: [] for name in OUTCOMES}
    for arm in ARMS:
        change, comeback, redeem, leave = _response(arm, traits)
        returns = (spend == 0) & (luck["comeback"] < comeback)
        paid = np.round(np.where(returns, basket, spend * (1 + change)), 2)
        bought = paid > 0
        columns["spend"].append(paid)
        columns["bought"].append(bought.astype(np.float64))
        columns["redeemed"].append((bought & (luck["redeem"] < redeem)).astype(np.float64))
        columns["opted_out"].append((luck["leave"] < leave).astype(np.float64))
    return {name: np.column_stack(values).astype(np.float64) for name, values in columns.items()}


def _traits(features: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Array]:
    """Soft memberships in [0, 1] made from ranks of real features."""
    deal = _rank(features, reference, "discount_share_182d")
    lapsing = _rank(features, reference, "recency_days")
    basket = _rank(features, reference, "basket_mean_182d")
    often = _rank(features, reference, "n_baskets_182d")
    return {
        "deal_seeker": _above(deal, 0.5),
        "full_price": 1 - _above(deal, 0.35),
        "big_basket": _above(basket, 0.55),
        "lapsing": _above(lapsing, 0.5),
        "regular": _above(often, 0.6),
    }


def _response(arm: str, trait: Mapping[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Change of spend, chance to come back, to redeem and to opt out, each (n_units,)."""
    zero = np.zeros_like(trait["regular"])
    if arm == "control":
        return zero, zero, zero, zero + 0.002
    deal, big, regular = trait["deal_seeker"], trait["big_basket"], trait["regular"]
    if arm == "email":  # pleases those who hunt for discounts
        change = 0.18 * deal - 0.03 * trait["full_price"]
        return change, 0.10 * deal, 0.08 + 0.17 * deal, zero + 0.006
    if arm == "post":  # a leaflet at home moves large baskets, and bores who hunts for discounts
        change = 0.28 * big * (1 - deal) - 0.08 * deal
        return change, zero + 0.10, 0.08 + 0.12 * big, zero + 0.004
    lapsing = trait["lapsing"]  # a call wins back who drifts away and annoys who comes anyway
    change = 0.35 * big * lapsing - 0.20 * regular * (1 - lapsing)
    return change, 0.30 * lapsing, 0.05 + 0.10 * lapsing, 0.012 + 0.05 * regular


def _rank(features: pd.DataFrame, reference: pd.DataFrame, name: str) -> Array:
    """Share of the reference at or below, in [0, 1]."""
    ordered = np.sort(reference[name].to_numpy(np.float64))
    below = np.searchsorted(ordered, features[name].to_numpy(np.float64), side="right")
    return np.asarray(below / len(ordered), dtype=np.float64)


def _above(rank: Array, middle: float) -> Array:
    """A step that is soft enough to be real and steep enough to be found."""
    return np.asarray(special.expit((rank - middle) / 0.06), dtype=np.float64)
