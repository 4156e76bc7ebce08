"""The quick tier of calibration: the control of a real test, split at random."""

from tests.calibration.harness import run
from tests.calibration.real_cases import cases


def test_splits_of_the_real_control_raise_no_more_false_alarms_than_promised(hillstrom_file):
    for case in cases(hillstrom_file):
        assert not [str(finding) for finding in run(case, case.smoke).failed]
