"""RFM: the simple rule that a model of customers has to beat.

Recency, frequency and money, each in fifths, added up. Source: Hughes (1994), "Strategic Database
Marketing".
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError

Array = npt.NDArray[np.float64]

RFM_COLUMNS = ("recency_days", "n_baskets_182d", "spend_182d_before")
FIFTHS = (0.2, 0.4, 0.6, 0.8)


def has_rfm(features: pd.DataFrame) -> bool:
    """Whether the columns of the rule are there (they come from `customer_view`)."""
    return set(RFM_COLUMNS) <= set(features.columns)


def rfm_score(features: pd.DataFrame, *, reference: pd.DataFrame | None = None) -> Array:
    """Points for a recent, frequent and valuable customer: 3 (worst) to 15 (best).

        fifth(-recency_days) + fifth(n_baskets_182d) + fifth(spend_182d_before)

    reference  customers whose fifths are the limits; the scored ones when not given. Give the
               customers of the training, so that a score means the same next month.
    returns    (n_units,); an unknown recency counts as the worst
    """
    limits = features if reference is None else reference
    for frame in (features, limits):
        if not has_rfm(frame):
            missing = next(name for name in RFM_COLUMNS if name not in frame.columns)
            raise DataError(
                f"features: column {missing!r} is missing; the RFM rule needs "
                f"{', '.join(RFM_COLUMNS)}. Make the features with customer_view.",
                code="COLUMN_MISSING",
                column=missing,
            )
    points = [
        _fifth(_better_is_more(features, name), _better_is_more(limits, name))
        for name in RFM_COLUMNS
    ]
    return np.asarray(np.sum(points, axis=0), dtype=np.float64)


def _better_is_more(features: pd.DataFrame, name: str) -> Array:
    values = features[name].to_numpy(np.float64)
    signed = -values if name == "recency_days" else values
    return np.where(np.isnan(signed), -np.inf, signed)


def _fifth(values: Array, reference: Array) -> Array:
    """1 to 5: one more than the number of limits a value exceeds."""
    limits = np.quantile(reference, FIFTHS, method="inverted_cdf")
    return np.asarray(1 + np.searchsorted(limits, values, side="left"), dtype=np.float64)
