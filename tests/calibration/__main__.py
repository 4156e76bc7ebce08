"""The full run: `python -m tests.calibration` writes docs/calibration.md, and fails with it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core per process; there are two of them

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.calibration.all_cases import all_cases
from tests.calibration.harness import Case, Finding, Run, run
from tests.calibration.page import page

ROOT = Path(__file__).resolve().parents[2]
FILE = "hillstrom.csv.gz"


def real_file() -> Path | None:
    """The published e-mail test, where it is at hand; in CI it must be."""
    places = [Path(os.environ["UPLIFT_DATA"])] if os.environ.get("UPLIFT_DATA") else []
    places.append(ROOT.parent / "shared" / "data")
    for place in places:
        file = place if place.is_file() else place / FILE
        if file.is_file():
            return file
    if os.environ.get("CI") == "true":
        raise SystemExit(f"CI must have {FILE} at {places[-1]}")
    return None


def _run(number: int, share: float, real: Path | None) -> tuple:
    """What one case came to, without the case: its simulation cannot be sent between processes."""
    case = all_cases(real)[number]
    done = run(case, max(round(share * case.reps), 1))
    return [(one.first, one.again) for one in done.findings], done.reps, done.seconds


def _whole(case: Case, rates: list, reps: int, seconds: float) -> Run:
    asked = [(m, False) for m in case.measures] + [(m, True) for m in case.wrong]
    findings = tuple(
        Finding(case, measure, wrong, *pair)
        for (measure, wrong), pair in zip(asked, rates, strict=True)
    )
    return Run(case, findings, reps, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the replications")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration.md")
    options = parser.parse_args()
    real, start = real_file(), time.perf_counter()
    cases = all_cases(real)
    # the longest first, so that no process waits for the other at the end
    order = sorted(range(len(cases)), key=lambda i: cases[i].row != "S21")
    with ProcessPoolExecutor(2) as pool:
        jobs = {i: pool.submit(_run, i, options.share, real) for i in order}
        runs = []
        for i, case in enumerate(cases):
            done = _whole(case, *jobs[i].result())
            runs.append(done)
            mark = "ok" if not done.failed else "FAILED"
            print(f"{mark:6} {done.seconds:6.1f} s  {done.case.row} {done.case.name}", flush=True)
    failed = [str(finding) for done in runs for finding in done.failed]
    options.out.write_text(page(runs, with_real=real is not None), encoding="utf-8")
    print(f"{time.perf_counter() - start:.0f} s, {len(failed)} failed; written: {options.out}")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
