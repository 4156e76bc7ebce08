"""Points at which tests kill the process, as a power cut would."""

import os
import signal

FAIL_AT = "UPLIFT_FAIL_AT"  # tests name a point here


def fail_point(name: str) -> None:
    """Die here when a test has named this point in the environment."""
    if os.environ.get(FAIL_AT) == name:
        os.kill(os.getpid(), signal.SIGKILL)
