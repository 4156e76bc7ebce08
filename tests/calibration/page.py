"""The rates of a full run as a page of the documentation."""

import platform
from collections.abc import Sequence

import numpy as np
import scipy

from tests.calibration.harness import BASE_SEED, Finding, Run, Uniform

HEAD = """# Calibration: does 95 % mean 95 %?

Every interval and test of the package, simulated with a known truth by the package's own functions:
how often it covers, or raises a false alarm. `make calibration` repeats all of it and writes this
page; a smaller run is part of `make test`.

- A rate must lie in its band: what is promised, three standard errors to either side (to one side,
  where more is allowed) at the number of replications done. Limits are exact binomial ones (95 %).
- Beside it stands what a hurried analyst does with the same data. Its rate must lie outside the
  band, or the check would prove nothing.
- Seeds are fixed. A rate outside its band is simulated once more with another seed and four times
  the replications, and fails if it is outside again; the second rate is then shown.
- "p-values uniform" is the p-value of a Kolmogorov-Smirnov test, held above 0.001.
"""
REAL_MISSING = "The rows on the public e-mail test were left out: its file was not at hand.\n"
COLUMNS = (
    "check",
    "what is counted",
    "replications",
    "rate",
    "exact limits",
    "band",
    "wrong variant's rate",
    "seed",
)


def page(runs: Sequence[Run], *, with_real: bool) -> str:
    """The whole page, in Markdown."""
    failed = [finding for run in runs for finding in run.failed]
    n_right = sum(not f.wrong for run in runs for f in run.findings)
    n_wrong = sum(f.wrong for run in runs for f in run.findings)
    verdict = (
        f"All {n_right} rates are inside their bands, and all {n_wrong} wrong variants outside."
        if not failed
        else f"{len(failed)} of {n_right + n_wrong} rates are not as they must be:"
    )
    made = (
        f"Base seed {BASE_SEED}; Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}."
    )
    parts = [HEAD, f"**{verdict}** {made}\n"]
    parts += [f"- {finding}\n" for finding in failed]
    if not with_real:
        parts.append(REAL_MISSING)
    parts.append("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS) + "\n")
    parts[-1] += "".join(_row(finding) for run in runs for finding in run.findings)
    return "\n".join(parts)


def _row(finding: Finding) -> str:
    rate, case = finding.rate, finding.case
    low, high = rate.band
    if isinstance(finding.measure.band, Uniform):
        shown, exact, band = f"p = {rate.value:.3f}", "", "p ≥ 0.001"
    else:
        shown = f"{rate.value:.2%}"
        exact = f"{rate.exact[0]:.2%} – {rate.exact[1]:.2%}"
        band = f"{low:.2%} – {high:.2%}"
    says = f"wrong: {finding.measure.says}" if finding.wrong else finding.measure.says
    cells = (
        f"{case.row}: {case.name}",
        says,
        f"{rate.n:,}",
        "" if finding.wrong else shown,
        exact,
        band,
        shown if finding.wrong else "",
        str(rate.seed),
    )
    return (
        "| " + " | ".join(cell.replace("%", " %").replace("  %", " %") for cell in cells) + " |\n"
    )
