"""The quick tier of calibration: what the analysis reports, by the methods that it chooses."""

import pytest

from tests.calibration.analysis_cases import CASES
from tests.calibration.harness import run

QUICK = [case for case in CASES if case.smoke]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: f"{case.row} {case.name}")
def test_rates_are_as_promised_and_wrong_variants_are_not(case):
    assert not [str(finding) for finding in run(case, case.smoke).failed]
