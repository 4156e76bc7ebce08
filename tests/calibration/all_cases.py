"""Every case there is. To add one, append a `Case` to the module of its kind."""

from pathlib import Path

from tests.calibration import (
    adjusted_cases,
    analysis_cases,
    delivery_cases,
    estimator_cases,
    family_cases,
    means_cases,
    past_cases,
    ranking_cases,
    sequential_cases,
    time_cases,
)
from tests.calibration.harness import Case
from tests.calibration.real_cases import cases as real_cases

SIMULATED: tuple[Case, ...] = (
    *means_cases.CASES,
    *adjusted_cases.CASES,
    *estimator_cases.CASES,
    *sequential_cases.CASES,
    *family_cases.CASES,
    *delivery_cases.CASES,
    *time_cases.CASES,
    *past_cases.CASES,
    *ranking_cases.CASES,
    *analysis_cases.CASES,
)


def all_cases(real: Path | None) -> tuple[Case, ...]:
    """The simulated cases, and those on the published e-mail test where its file is at hand."""
    return SIMULATED if real is None else (*SIMULATED, *real_cases(real))
