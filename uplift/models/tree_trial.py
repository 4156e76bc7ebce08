"""Forests from files that nobody vouches for: tried in a process of their own first.

A digest says that a file is as it was written, not that it was written by us. When the digest comes
from the same folder as the file, both may have been changed. Then the text is held to its bounds,
and a child process reads it: should LightGBM end the process after all, it is the child that ends.
The child costs some hundredths of a second per model; a file whose digest was kept elsewhere is
read at once.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lightgbm as lgb

from uplift.models.forest_bins import Bins
from uplift.models.tree_text import require_bounds

CHILD = Path(__file__).with_name("tree_child.py")
SECONDS = 60.0  # a model of 1,000 trees takes less than one
MEMORY = 2**30  # of the child, beside some times the texts
PER_BYTE = 64


def try_forests(texts: Sequence[str], bins: Bins, *, n_arms: int) -> None:
    """ValueError unless all texts are forests over these codes that LightGBM can follow."""
    for text in texts:
        require_bounds(text, bins, n_arms=n_arms)
    if texts:
        try_apart([text.encode("ascii") for text in texts], n_columns=len(bins.edges) + n_arms - 1)


def try_apart(texts: Sequence[bytes], *, n_columns: int) -> None:
    """ValueError unless a child process reads all texts and lives."""
    size = sum(map(len, texts))
    command = [sys.executable, "-I", "-S", str(CHILD)]
    command += [lgb.basic._LIB._name, str(n_columns), str(MEMORY + PER_BYTE * size)]
    try:
        child = subprocess.run(  # noqa: S603  # our own script; texts go in as bytes
            command,
            input=b"".join(b"%d\n%s" % (len(text), text) for text in texts),
            capture_output=True,
            timeout=SECONDS,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"LightGBM does not finish reading it in {SECONDS:.0f} seconds") from None
    said = child.stdout.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    if child.returncode or said != "sound":
        raise ValueError(f"LightGBM cannot read it: {said[:200] or 'its process ended'}")
