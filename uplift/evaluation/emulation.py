"""Other libraries' numbers by name, so that old reports can be reconciled. Never used in a verdict.

Known faults, kept here on purpose: the ratio explodes when the optimum is near 0, it accepts only a
binary outcome and one treatment, and the two kinds of optimum give very different numbers.
"""

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def qini_as_scikit_uplift(
    y: Array, score: Array, treatment: IntArray, *, negative_effect: bool = True
) -> float:
    """The number of scikit-uplift's `qini_auc_score`: area over the optimum's area, no unit.

        Q(i) = treated responders - control responders * treated / controls,  top i units
        (area of Q - area of its chord) / (area of the optimum - area of its chord)

    y, treatment     (n_units,)  0 or 1
    score            (n_units,)  equal scores count together
    negative_effect  whether the optimum may put harmed units last

    Source: Radcliffe (2007), Direct Marketing Analytics Journal; scikit-uplift 0.5.1.
    """
    _require_binary(y, name="outcome")
    _require_binary(treatment, name="treatment")
    n_units = len(y)
    x, curve = _qini_curve(y, score, treatment)
    if negative_effect:
        x_best, best = _qini_curve(y, y * treatment - y * (1 - treatment), treatment)
    else:
        treated, control = treatment == 1, treatment == 0
        peak = y[treated].sum() - treated.sum() * y[control].sum() / control.sum()
        x_best, best = np.array([0, peak, n_units]), np.array([0, peak, peak])
    chord = x_best[-1] * best[-1] / 2
    optimum = float(np.trapezoid(best, x_best)) - chord
    if optimum == 0 or (np.diff(x_best) < 0).any():
        raise DataError(
            "Qini as scikit-uplift: the optimum has no area here, so the ratio does not exist. "
            "Use `qini` on doubly robust scores.",
            code="QINI_UNDEFINED",
        )
    return float((np.trapezoid(curve, x) - chord) / optimum)


def _qini_curve(y: Array, score: Array, treatment: IntArray) -> tuple[Array, Array]:
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    treated = np.cumsum(treatment[order])[last_of_tie].astype(np.float64)
    control = last_of_tie + 1 - treated
    responders_treated = np.cumsum((y * treatment)[order])[last_of_tie]
    responders_control = np.cumsum((y * (1 - treatment))[order])[last_of_tie]
    ratio = np.divide(treated, control, out=np.zeros(len(treated)), where=control > 0)
    curve = responders_treated - responders_control * ratio
    return np.append(0.0, last_of_tie + 1.0), np.append(0.0, curve)


def _require_binary(values: npt.NDArray[np.generic], *, name: str) -> None:
    if not np.isin(values, (0, 1)).all():
        raise DataError(
            f"Qini as scikit-uplift: the {name} must be 0 or 1. "
            "Use `qini` on doubly robust scores for other outcomes.",
            code="OUTCOME_NOT_BINARY",
        )
