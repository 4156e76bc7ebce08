"""The quick tier of calibration: repeated looks, and many at once."""

import pytest

from tests.calibration import family_cases, sequential_cases
from tests.calibration.harness import run

CASES = (*sequential_cases.CASES, *family_cases.CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row} {case.name}")
def test_rates_are_as_promised_and_wrong_variants_are_not(case):
    assert not [str(finding) for finding in run(case, case.smoke).failed]
