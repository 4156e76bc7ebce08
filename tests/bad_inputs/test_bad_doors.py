"""Every door refuses the same bad ids with the same code, and whatever else it refuses with one.

A refusal writes nothing, so each door is tried on one project again and again.
"""

import random
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.bad_inputs.commands import contents, in_project, run
from tests.bad_inputs.doors import DOORS, SLOW_DOORS, Door
from tests.bad_inputs.judge import REMEDY
from tests.bad_inputs.steps import parquet
from tests.bad_inputs.worst import NO_TABLES, TABLES, columns_of, files
from uplift.errors import MAX_ROWS_SHOWN, UpliftError

CODE = re.compile(r"[A-Z][A-Z_]+: ")
BIG = (9007199254740992.0, 9007199254740993.0)
BAD_IDS: dict[str, tuple[str, list]] = {  # case → its code and the first ids
    "B03": ("ID_MISSING", [*BIG, None]),
    "B04 empty": ("ID_MISSING", [""]),
    "B04 blank": ("ID_MISSING", [" \t"]),
    "B04 missing": ("ID_MISSING", [None]),
    "B08": ("ID_UNICODE_FORM", ["Jos\u00e9-11", "Jose\u0301-11"]),
    "B09 zero-width": ("ID_CONTROL_CHAR", ["cust\u200bomer"]),
    "B09 NUL": ("ID_CONTROL_CHAR", ["cust\0omer"]),
    "B09 BOM": ("ID_CONTROL_CHAR", ["\ufeffcustomer"]),
    "B09 bidi": ("ID_CONTROL_CHAR", ["cust\u202eomer"]),
    "B10 after": ("ID_WHITESPACE", ["customer-1 "]),
    "B10 before": ("ID_WHITESPACE", ["\u00a0customer-1"]),
    "B12": ("ID_TOO_LONG", ["x" * 10_000]),
}


def with_ids(table: pd.DataFrame, ids: list) -> pd.DataFrame:
    """The table with other ids in its first rows; it grows when it has too few."""
    while len(table) < len(ids):
        table = pd.concat([table, table.tail(1)], ignore_index=True)
    rest = [] if isinstance(ids[0], float) else table["unit"].tolist()[len(ids) :]
    table = table.head(len(ids) + len(rest)).copy()
    table["unit"] = [*ids, *rest]
    return table


def refusal(door: Door, table: Any, project: Path, stages, way: str) -> tuple[str, str]:
    """Code and message of what the door says to a table, by function or by command."""
    if way == "function":
        with pytest.raises(UpliftError) as error:
            door.call(table, project)
        assert len(error.value.rows) <= MAX_ROWS_SHOWN
        return error.value.code, str(error.value)
    file = written(door, table, project.parent / f"{project.name}-told")
    code, out, err = run(*in_project(stages.told(door.words(file)), project))
    assert (code, out, len(err.splitlines())) == (2, "", 1), (code, out, err)
    return tuple(err.strip().split(": ", 1))


def written(door: Door, table: pd.DataFrame, file: Path) -> Path:
    """The table as the door's command reads it."""
    if door.listed is None:
        return parquet(table, file.with_suffix(".parquet"))
    rows = "".join(f'"{"" if pd.isna(unit) else unit}"\n' for unit in table["unit"])
    made = f"{door.listed - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    file = file.with_suffix(".csv")
    file.write_bytes(f"# generated_at: {made}\nunit\n{rows}".encode())
    return file


def ways(doors):
    """Parameters of a test: every door by function and by command."""
    return [
        pytest.param(door, way, id=f"{door.name} by {way}")
        for door in doors
        for way, there in (("function", door.call), ("command", door.words))
        if there
    ]


def require_bad_ids_refused(door, way, stages, cases=BAD_IDS):
    project = stages.of(door.stage)
    before = contents(project)
    for case, (code, ids) in cases.items():
        if door.listed and way == "command" and "\0" in str(ids[0]):
            continue  # a CSV with a NUL is malformed as a whole
        table = with_ids(door.good(), ids)
        found, message = refusal(door, table, project, stages, way)
        assert (case, found) == (case, code)
        assert REMEDY.search(message), message
        assert not [unit for unit in map(str, ids) if len(unit) >= 6 and unit in message]
    assert contents(project) == before


@pytest.mark.parametrize(("door", "way"), ways(DOORS))
def test_every_door_refuses_bad_ids_by_their_code(door, way, stages):
    require_bad_ids_refused(door, way, stages, some(f"{door.name} by {way}", BAD_IDS, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("door", "way"), ways((*DOORS, *SLOW_DOORS)))
def test_every_door_refuses_every_bad_id_by_its_code(door, way, stages):
    require_bad_ids_refused(door, way, stages)


@pytest.mark.slow
@pytest.mark.parametrize(("door", "way"), ways((*DOORS, *SLOW_DOORS)))
def test_every_door_lets_a_good_table_in(door, way, stages, project_for):
    project = project_for(door.stage)
    if way == "function":
        door.call(door.good(), project)
        return
    file = written(door, door.good(), project.parent / "told")
    code, out, err = run(*in_project(stages.told(door.words(file)), project))
    assert code in (0, 1), err  # 1: a check of the report says no
    assert (bool(out), err) == (True, "")


# Whatever else is told.


class Trial:
    """A project that is as its stage left it before each try; a refusal must leave it so."""

    def __init__(self, stages, folder: Path, stage: str) -> None:
        self.source, self.project = stages.of(stage), folder / "tried"
        self.before = contents(self.source)

    def of(self, attempt) -> None:
        if not self.project.exists():
            shutil.copytree(self.source, self.project)
        if attempt(self.project):
            shutil.rmtree(self.project)  # it was let in
            return
        after = contents(self.project)
        changed = {name for name in after | self.before if after.get(name) != self.before.get(name)}
        assert changed <= {
            "experiments/registry.db"
        }  # an export's refusal is an alert in the trail


def let_in(door: Door, table: Any, project: Path) -> bool:
    """Whether a table is let in; refused by anything but an error of ours, the test fails."""
    try:
        door.call(table, project)
    except UpliftError as error:
        refused = error
    else:
        return True
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", refused.code)
    assert len(refused.rows) <= MAX_ROWS_SHOWN
    return False


def file_let_in(door: Door, file: Path, project: Path, stages) -> bool:
    code, out, err = run(*in_project(stages.told(door.words(file)), project))
    assert code in (0, 1, 2)
    assert "Traceback" not in out + err
    assert code != 2 or (out == "" and len(err.splitlines()) == 1 and CODE.match(err)), err
    return code != 2


def some(seed: str, found: dict[str, Any], count: int) -> dict[str, Any]:
    """A few of them, others for each seed and always the same."""
    rng = random.Random(seed)
    return {name: found[name] for name in rng.sample(sorted(found), count)}


def try_tables(door: Door, told: dict[str, Any], stages, folder: Path) -> None:
    trial = Trial(stages, folder, door.stage)
    for table in told.values():
        trial.of(lambda project, table=table: let_in(door, table, project))


def all_tables(door: Door) -> dict[str, Any]:
    good = door.good()
    changes = {**TABLES, **dict(columns_of(good))}
    return {name: change(good) for name, change in changes.items()} | NO_TABLES


WITH_CALL = [pytest.param(door, id=door.name) for door in DOORS if door.call]
WITH_WORDS = [pytest.param(door, id=door.name) for door in DOORS if door.words]


@pytest.mark.parametrize("door", WITH_CALL)
def test_a_door_lets_a_bad_table_in_or_refuses_it_with_a_code(door, stages, tmp_path):
    try_tables(door, some(door.name, all_tables(door), 2), stages, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("door", WITH_CALL)
def test_a_door_lets_any_bad_table_in_or_refuses_it_with_a_code(door, stages, tmp_path):
    try_tables(door, all_tables(door), stages, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("door", WITH_WORDS)
def test_a_command_refuses_any_file_that_is_none_in_one_line(door, stages, tmp_path):
    trial = Trial(stages, tmp_path, door.stage)
    for _, file in files(tmp_path, door.good()):
        trial.of(lambda project, file=file: file_let_in(door, file, project, stages))


@pytest.mark.parametrize("door", WITH_WORDS)
def test_a_command_refuses_a_file_that_is_none_in_one_line(door, stages, tmp_path):
    trial = Trial(stages, tmp_path, door.stage)
    for file in some(door.name, dict(files(tmp_path, door.good())), 2).values():
        trial.of(lambda project, file=file: file_let_in(door, file, project, stages))
