"""The contacts that exports plan, in the form of the contact ledger: what pressure is counted from.

Derived from the published lists; whoever was withdrawn since is not in it.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from uplift.experiment import Experiment
from uplift.export import files
from uplift.export.folder import read_list
from uplift.export.job import channel_in
from uplift.export.suppression import ALL_CHANNELS
from uplift.export.wave import NO_CHANNEL
from uplift.frames import UNIT, rows_by_id, write_parquet
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
    own = channel_in(batch)
    out = [u for u, channel in withdrawn if channel in (ALL_CHANNELS, own) or own == NO_CHANNEL]
    table = _texts(read_list(folder, batch))
    gone = rows_by_id(table[UNIT], among=pd.Series(out, dtype="str")) >= 0
    table = table[~gone].reset_index(drop=True)
    costs = {arm.name: arm.contact_cost for arm in experiment.arms}
    sent_at = pd.Timestamp(experiment.schedule.window(batch.wave).opens_at).as_unit("us")
    table["status"] = pd.Series([PLANNED] * len(table), dtype="str")
    table["sent_at"] = pd.Series([sent_at] * len(table), dtype="datetime64[us, UTC]")
    table["cost"] = table["arm"].map(costs).astype("float64")
    return table[list(COLUMNS)]


def _texts(content: bytes) -> pd.DataFrame:
    """The columns of a list that a contact has, as text."""
    names = [name for name in TEXTS if name in files.HEADER]
    read = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    return pd.DataFrame(read.to_pandas()).astype("str")
