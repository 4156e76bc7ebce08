"""The quick tier of calibration: delivery, time, past experiments and rankings."""

import pytest

from tests.calibration import delivery_cases, past_cases, ranking_cases, time_cases
from tests.calibration.harness import run

CASES = (*delivery_cases.CASES, *time_cases.CASES, *past_cases.CASES, *ranking_cases.CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row} {case.name}")
def test_rates_are_as_promised_and_wrong_variants_are_not(case):
    assert not [str(finding) for finding in run(case, case.smoke).failed]
