"""The quick tier of calibration: readings of one moment."""

import pytest

from tests.calibration import adjusted_cases, estimator_cases, means_cases
from tests.calibration.harness import run

CASES = (*means_cases.CASES, *adjusted_cases.CASES, *estimator_cases.CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row} {case.name}")
def test_rates_are_as_promised_and_wrong_variants_are_not(case):
    assert not [str(finding) for finding in run(case, case.smoke).failed]
