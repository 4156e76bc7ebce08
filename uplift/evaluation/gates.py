"""Gates of promotion: what a candidate must have proven before it may decide about customers."""

from collections.abc import Sequence

import numpy as np

from uplift.checks import Check
from uplift.errors import DataError
from uplift.evaluation.calibration import Calibration
from uplift.evaluation.policy import NEVER_CHOSEN, Gain, PolicyRow
from uplift.evaluation.rankings import RankingRow

NOT_RANKINGS = frozenset({"nobody", "everyone", "constant"})


def candidate_gates(
    candidate: str,
    *,
    policies: Sequence[PolicyRow],
    gains: Sequence[Gain],
    calibrations: Sequence[Calibration],
    rankings: Sequence[RankingRow],
    confidence: float,
) -> tuple[Check, ...]:
    """Gain over every simpler competitor, calibration and ranking, each as a Check.

    The value of a gain gate is the lower bound of the gain, which must be above 0. The constant
    effect has only nobody to beat, and nothing to rank.
    """
    row = next((row for row in policies if row.policy == candidate), None)
    if row is None:
        raise DataError(
            f"There is no candidate {candidate!r}; there are "
            f"{', '.join(p.policy for p in policies if p.policy == p.candidate)}.",
            code="CANDIDATE_UNKNOWN",
        )
    simpler = {p.policy for p in policies if p.kind not in NEVER_CHOSEN - {"random"}}
    checks = [_gain_gate(g) for g in gains if g.policy == candidate and g.over in simpler]
    if row.kind == "learner":
        checks += [_calibration_gate(c) for c in calibrations if c.candidate == candidate]
        checks.append(_ranking_gate(candidate, rankings, confidence))
    elif row.kind not in NOT_RANKINGS:
        checks.append(_action_gate(candidate))
    return tuple(checks)


def _action_gate(candidate: str) -> Check:
    """A ranking is judged by treating its top share; a served model acts on effects instead."""
    return Check(
        "acts as it was judged",
        passed=False,
        value="a ranking",
        bound="effects per arm",
        remedy=f"{candidate} only ranks customers, so a served model would not act as it was "
        "judged. Contact its best share by hand, or train a learner of effects.",
        code="GATE_RANKING_ONLY",
    )


def _gain_gate(gain: Gain) -> Check:
    return Check(
        f"gain over {gain.over}",
        passed=gain.ci[0] > 0,
        value=gain.ci[0],
        bound=0.0,
        remedy=f"The gain of {gain.policy} over {gain.over} is not proven: use the simpler policy, "
        "or prove the gain with more units.",
        code="GATE_GAIN",
    )


def _calibration_gate(calibration: Calibration) -> Check:
    low = calibration.ci[0]
    return Check(
        "calibration slope",
        passed=bool(low > 0),
        value=low if np.isfinite(low) else None,
        bound=0.0,
        remedy="The promised differences between customers are not proven to be real: use one "
        "effect for everyone.",
        code="GATE_CALIBRATION",
    )


def _ranking_gate(candidate: str, rankings: Sequence[RankingRow], confidence: float) -> Check:
    own = [r.p_adjusted for r in rankings if r.candidate == candidate]
    lowest = min((p for p in own if np.isfinite(p)), default=None)
    bound = round(1 - confidence, 12)
    return Check(
        "ranking",
        passed=lowest is not None and lowest < bound,
        value=lowest,
        bound=bound,
        remedy="No arm's ranking is proven better than chance: do not target by it.",
        code="GATE_RANKING",
    )
