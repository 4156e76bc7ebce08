"""The project as each step finds it: made once, copied for each row."""

import shutil
from pathlib import Path

import pytest

from tests.bad_inputs.commands import done, in_project
from tests.bad_inputs.doors import CONTROL, CONTROL_DEFINITION, ROTATED_ON, earlier_contacts
from tests.bad_inputs.inputs import DEFINITION, SUPPRESSION, good_inputs
from tests.bad_inputs.steps import with_waves

FIRST = [("design", "voucher", "--n-units", 1_000), ("seal", "voucher")]
ROAD = {  # what is made from what, and by which commands
    "designed": ("draft", [("design", "voucher", "--n-units", 1_000)]),
    "sealed": ("designed", [("seal", "voucher")]),
    "assigned": ("sealed", [("assign", "voucher", "{customers}")]),
    "exported": (
        "assigned",
        [("export", "voucher", "--suppression", "{suppression}", "--as-of", "2017-07-03T06:00Z")],
    ),
    "maturing": ("assigned", [("ingest", "voucher", "{outcomes}")]),
    "read": ("maturing", [("analyse", "voucher")]),
    "trained": ("maturing", [("train", "voucher", "--learners", "t")]),
    "promoted": ("trained", [("log", "voucher"), ("promote", "voucher")]),
    "ramped": ("ramping", [*FIRST, ("assign", "voucher", "{customers}")]),
    "waved": ("waves", [*FIRST, ("assign", "voucher", "{customers}", "--contacts", "{contacts}")]),
    "control": ("control draft", [("design", CONTROL, "--n-units", 1_000), ("seal", CONTROL)]),
    "rotated": ("control", [("control", "rotate", CONTROL, "{customers}", "--as-of", ROTATED_ON)]),
}
DEFINED = {  # projects that begin with a definition
    "draft": {"voucher": DEFINITION},
    "ramping": {"voucher": f"{DEFINITION}assignment: {{exposure_share: 0.5}}\n"},
    "waves": {"voucher": with_waves(DEFINITION)},
    "control draft": {CONTROL: CONTROL_DEFINITION},
}


class Stages:
    """Each stage is made when it is first asked for, from the one before it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        inputs = good_inputs()
        tables = {
            "customers": inputs.customers,
            "assigned": inputs.assigned[["unit", "arm"]],
            "outcomes": inputs.outcomes,
            "contacts": earlier_contacts(),
        }
        self.files = {name: base / f"{name}.parquet" for name in tables}
        for name, table in tables.items():
            table.to_parquet(self.files[name])
        self.files |= {"suppression": base / "suppression.csv", "list": base / "list.csv"}
        self.files["suppression"].write_text(SUPPRESSION.format(made="2017-07-03T05:00:00Z"))

    def told(self, words) -> tuple:
        """The words of a command, with files in place of their names."""
        return tuple(str(word).format(**self.files) for word in words)

    def of(self, stage: str) -> Path:
        project = self.base / stage
        if project.exists():
            return project
        if stage in DEFINED:
            if stage == "control draft":  # beside a campaign that was read
                shutil.copytree(self.of("read"), project)
            for name, definition in DEFINED[stage].items():
                folder = project / "experiments" / name
                folder.mkdir(parents=True)
                (folder / "experiment.yaml").write_text(definition)
            return project
        before, commands = ROAD[stage]
        shutil.copytree(self.of(before), project)
        for words in commands:
            done(*in_project(self.told(words), project))
        return project


@pytest.fixture(scope="session")
def stages(tmp_path_factory) -> Stages:
    return Stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture
def project_for(stages, tmp_path):
    """A copy of a stage, the test's own."""

    def copy(stage: str) -> Path:
        return shutil.copytree(stages.of(stage), tmp_path / "project", dirs_exist_ok=True)

    return copy
