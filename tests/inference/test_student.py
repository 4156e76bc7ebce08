"""Student's t is that of scipy.stats, and loads without it."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from uplift.inference.student import t_quantile, t_tail

DF = (0.5, 1, 2.7, 30, 1e3, 1e9, np.inf, np.nan, 0, -1)


@pytest.mark.parametrize("df", DF)
def test_quantiles_and_tails_are_those_of_scipy(df):
    for p in (0.0, 1e-300, 1e-12, 0.025, 0.5, 0.975, 1 - 1e-12, 1.0, np.nan):
        assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-12, nan_ok=True)
    for t in (0.0, 1e-9, 1.96, -1.96, 8, 40, 1e6, np.inf, np.nan):
        expected = stats.t.sf(t, df)
        assert t_tail(t, df) == pytest.approx(expected, rel=1e-12, abs=0, nan_ok=True)


def test_an_effect_from_moments_needs_none_of_the_distributions():
    code = (
        "import sys; from uplift.inference import means, ratios, regression_adjustment; "
        "from uplift.inference.moments import Moments; "
        "m = Moments.of({'x': [1.0, 2.0, 4.0]}, ['x']); "
        "means.welch(m, m, column='x'); assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
