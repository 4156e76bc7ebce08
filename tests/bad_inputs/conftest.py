"""The project as each step finds it: made once, copied for each row."""

import shutil
from pathlib import Path

import pytest

from tests.bad_inputs.commands import done
from tests.bad_inputs.inputs import DEFINITION, SUPPRESSION, good_inputs

ROAD = {  # what is made from what, and by which commands
    "designed": ("draft", [("design", "voucher", "--n-units", 1_000)]),
    "sealed": ("designed", [("seal", "voucher")]),
    "assigned": ("sealed", [("assign", "voucher", "{customers}")]),
    "exported": (
        "assigned",
        [("export", "voucher", "--suppression", "{suppression}", "--as-of", "2017-07-03T06:00Z")],
    ),
    "maturing": ("assigned", [("ingest", "voucher", "{outcomes}")]),
    "trained": ("maturing", [("train", "voucher", "--learners", "t")]),
    "promoted": ("trained", [("log", "voucher"), ("promote", "voucher")]),
}


class Stages:
    """Each stage is made when it is first asked for, from the one before it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        inputs = good_inputs()
        names = ("customers.parquet", "outcomes.parquet", "suppression.csv")
        self.files = {name.split(".")[0]: base / name for name in names}
        inputs.customers.to_parquet(self.files["customers"])
        inputs.outcomes.to_parquet(self.files["outcomes"])
        self.files["suppression"].write_text(SUPPRESSION.format(made="2017-07-03T05:00:00Z"))

    def of(self, stage: str) -> Path:
        project = self.base / stage
        if project.exists():
            return project
        if stage == "draft":
            folder = project / "experiments" / "voucher"
            folder.mkdir(parents=True)
            (folder / "experiment.yaml").write_text(DEFINITION)
            return project
        before, commands = ROAD[stage]
        shutil.copytree(self.of(before), project)
        for words in commands:
            done(*(str(word).format(**self.files) for word in words), "--root", project)
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
