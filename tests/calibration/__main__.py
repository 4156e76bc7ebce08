"""The full run: `python -m tests.calibration` writes docs/calibration.md, and fails with it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core per process; there are two of them

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.calibration.all_cases import all_cases
from tests.calibration.harness import Case, Finding, Run, run
from tests.calibration.page import page
from uplift.progress import track

ROOT = Path(__file__).resolve().parents[2]
FILE = "hillstrom.csv.gz"
LONG = ("S17", "S21", "S8", "S9", "analyse")  # rows with long cases


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


def _all(cases: tuple[Case, ...], share: float, real: Path | None) -> list[Run]:
    """Every case on two processes, with a bar, and a line for each case that is done."""
    # the longest first, so that no process waits for the other at the end
    order = sorted(range(len(cases)), key=lambda i: cases[i].row not in LONG)
    with ProcessPoolExecutor(2) as pool:
        number = {pool.submit(_run, i, share, real): i for i in order}
        done: dict[int, Run] = {}
        for job in track(as_completed(number), label="calibration", total=len(number)):
            i = number[job]
            done[i] = one = _whole(cases[i], *job.result())
            mark = "FAILED" if one.failed else "ok"
            place = f"[{len(done):3d}/{len(cases)}]"
            print(
                f"{place} {mark:6} {one.seconds:6.1f} s  {one.case.row} {one.case.name}", flush=True
            )
    return [done[i] for i in range(len(cases))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the replications")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration.md")
    options = parser.parse_args()
    real, start = real_file(), time.perf_counter()
    runs = _all(all_cases(real), options.share, real)
    failed = [str(finding) for done in runs for finding in done.failed]
    options.out.write_text(page(runs, with_real=real is not None), encoding="utf-8")
    took = time.perf_counter() - start
    cpu = sum(done.seconds for done in runs)
    print(f"{took:.0f} s, {cpu:.0f} s of processor time, {len(failed)} failed: {options.out}")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
