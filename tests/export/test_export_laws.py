"""Whatever happens in whatever order: whoever opted out is on no later list, and nobody twice."""

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.export.conftest import ID, customers, make_project
from uplift.checks import blocked_by
from uplift.export import verify_export
from uplift.export.job import ExportOptions

UNITS = [f"c{i:06d}" for i in range(24)]
CHANNELS = ("email", "post")
opt_outs = st.lists(st.tuples(st.sampled_from(UNITS), st.sampled_from(["", *CHANNELS])), max_size=6)
steps = st.lists(
    st.tuples(
        st.sampled_from(["list", "list", "delta"]),
        st.sampled_from(["first", "reminder"]),
        st.sampled_from([None, *CHANNELS]),
        opt_outs,
    ),
    min_size=1,
    max_size=5,
)


class Plain:
    """What must be true, kept in plain sets: who ever opted out, and what each list holds."""

    def __init__(self, channel_of: dict[str, str]) -> None:
        self.channel_of = channel_of
        self.out: set[tuple[str, str]] = set()
        self.lists: dict[tuple[str, str], set[str]] = {}
        self.told: dict[tuple[str, str], set[str]] = {}

    def refuses(self, unit: str, channel: str) -> bool:
        return bool({(unit, ""), (unit, channel)} & self.out)

    def export(self, wave: str, channel: str) -> None:
        wanted = {u for u, c in self.channel_of.items() if c == channel}
        wanted = {unit for unit in wanted if not self.refuses(unit, channel)}
        self.lists.setdefault((wave, channel), wanted)

    def withdraw(self, wave: str, channel: str) -> None:
        if (wave, channel) in self.lists:
            listed = self.lists[wave, channel]
            gone = {unit for unit in listed if self.refuses(unit, channel)}
            self.told.setdefault((wave, channel), set()).update(gone)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_lists_and_deltas_are_those_of_a_plain_model(tmp_path_factory, steps):
    project = make_project(tmp_path_factory.mktemp("law"), table=customers(len(UNITS)))
    arms = {arm.name: arm.channel for arm in project.experiment.arms}
    channel_of = dict(zip(project.assigned["unit"], project.assigned["arm"].map(arms), strict=True))
    plain = Plain(channel_of)
    seen: set[tuple[str, str]] = set()
    for number, (kind, wave, channel, rows) in enumerate(steps):
        seen |= set(rows)  # an opt-out stays in the list that the source keeps, or vanishes
        rows = rows if number % 2 and rows else sorted(seen)
        if kind == "delta" and not any(w == wave and channel in (None, c) for w, c in plain.lists):
            continue
        if not rows and plain.out:
            continue
        step(project, plain, kind, wave, channel, rows)
    agrees(project, plain)


def step(project, plain, kind, wave, channel, rows):
    path = project.root / "suppression.csv"
    lines = [f"{unit},{refused}" for unit, refused in [*rows, ("nobody", "")]]
    path.write_text("\n".join(["# generated_at: 2026-03-01T06:00:00Z", "unit,channel", *lines]))
    act = project.withdraw if kind == "delta" else project.export
    act(path, wave=wave, options=ExportOptions(channel=channel))
    asked = CHANNELS if channel is None else (channel,)
    plain.out |= {row for row in rows if row[0] in plain.channel_of}
    for one in asked:
        (plain.withdraw if kind == "delta" else plain.export)(wave, one)


def agrees(project, plain):
    for (wave, channel), units in plain.lists.items():
        assert project.units_of(channel, wave) == units
        folder = project.folder / "export" / wave
        assert verify_export.main([str(folder / channel / "manifest.json")]) == 0
        deltas = sorted(folder.glob(f"{channel}-delta-*"))
        told = [unit for delta in deltas for unit in project.list_of(delta.name, wave)["unit"]]
        assert sorted(told) == sorted(plain.told.get((wave, channel), set()))
    if plain.lists:
        contacts = pd.read_parquet(project.folder / "contacts.parquet")
        assert not contacts.duplicated(["unit", "sent_at"]).any()
    assert not blocked_by(project.registry.verify())
    assert project.registry.state(ID) == ("live" if plain.lists else "assigned")
