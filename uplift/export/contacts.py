"""The contacts that exports plan, in the form of the contact ledger: what pressure is counted from.

Derived from the published lists; whoever was withdrawn since is not in it.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from uplift.experiment import Experiment
from uplift.export.folder import read_list
from uplift.export.job import channel_in
from uplift.export.suppression import ALL_CHANNELS
from uplift.export.wave import NO_CHANNEL
from uplift.frames import UNIT, write_parquet
from uplift.registry.exports import Batch

CONTACTS = "contacts.parquet"
TEXTS = ("unit", "channel", "offer", "campaign", "arm", "status")
COLUMNS = ("unit", "sent_at", "channel", "offer", "campaign", "arm", "cost", "status")
PLANNED = "planned"


def write_contacts(
    experiment: Experiment,
    folder: Path,
    lists: Sequence[Batch],
    *,
    withdrawn: Sequence[tuple[str, str]],
) -> None:
    """Write `contacts.parquet` of these lists, whole."""
    found = [_contacts_of(experiment, folder, batch, withdrawn) for batch in lists]
    table = pd.concat(found, ignore_index=True)
    table = table.sort_values(["sent_at", UNIT], ignore_index=True)
    write_parquet(table, folder / CONTACTS)


def _contacts_of(
    experiment: Experiment, folder: Path, batch: Batch, withdrawn: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    text = read_list(folder, batch).decode()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    own = channel_in(batch)
    out = {
        unit for unit, channel in withdrawn if channel in (ALL_CHANNELS, own) or own == NO_CHANNEL
    }
    rows = [row for row in reader if row[UNIT] not in out]
    costs = {arm.name: arm.contact_cost for arm in experiment.arms}
    sent_at = pd.Timestamp(experiment.schedule.window(batch.wave).opens_at).as_unit("us")
    table = pd.DataFrame(
        {name: pd.Series([row.get(name, PLANNED) for row in rows], dtype="str") for name in TEXTS}
    )
    table["status"] = pd.Series([PLANNED] * len(rows), dtype="str")
    table["sent_at"] = pd.Series([sent_at] * len(rows), dtype="datetime64[us, UTC]")
    table["cost"] = pd.Series([costs[row["arm"]] for row in rows], dtype="float64")
    return table[list(COLUMNS)]
