"""Lists hold who is to be contacted and nobody else, whatever happens between two runs."""

import contextlib
import json
import logging

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.conftest import DEFINITION, ID, Project, customers, make_project
from uplift.checks import blocked_by
from uplift.errors import DataError, DefinitionError, StateError
from uplift.export import files, lists, verify_export
from uplift.export.job import ExportOptions
from uplift.export.suppression import suppression_of
from uplift.registry.exports import export_ledger

EMAIL = ("email_10", "email_20")


def refuses(project: Project, code, suppression, **more):
    """A refusal that leaves no file, no row and no state behind."""
    before, state = project.files(), project.registry.state(ID)
    with pytest.raises((DataError, StateError, DefinitionError)) as error:
        project.export(suppression, **more)
    assert error.value.code == code
    assert project.files() == before
    assert project.registry.state(ID) == state
    with export_ledger(project.registry, ID, step="look") as ledger:
        assert len(ledger.batches()) == len(
            {name.rsplit("/", 1)[0] for name in before if name.endswith("manifest.json")}
        )
    return str(error.value)


def test_each_channel_has_its_treatment_units_but_those_who_opted_out(project):
    out = [project.of_arm("email_10")[0], project.of_arm("post")[0], project.of_arm("control")[0]]
    report = project.export(project.suppression(out))
    assert [one.name for one in report.lists] == ["email", "post"]
    assert project.units_of("email") == set(project.of_arm(*EMAIL)) - set(out)
    assert project.units_of("post") == set(project.of_arm("post")) - set(out)
    email = project.list_of("email")
    assert list(email.columns) == ["unit", "arm", "offer", "channel", "campaign", "wave"]
    assert set(email["offer"]) == {"ten", "twenty"}
    assert (email[["channel", "campaign", "wave"]] == ["email", ID, "first"]).all(axis=None)
    assert email["unit"].is_monotonic_increasing
    assert [one.removed["suppressed"] for one in report.lists] == [1, 1]
    assert report.n_matched == 3
    assert not report.remarks()


def test_the_first_export_makes_the_campaign_live_and_is_in_the_trail(project):
    report = project.export(project.suppression([]))
    assert project.registry.state(ID) == "live"
    rows = project.registry.history(ID).rows
    (row,) = [row for row in rows if row.action == "export"]
    assert [one["batch"] for one in row.payload["lists"]] == [one.batch for one in report.lists]
    assert row.payload["suppression"]["sha256"] == report.suppression_sha256
    assert not blocked_by(project.registry.verify())


def test_what_costs_time_is_made_before_the_transaction(project, monkeypatch):
    busy, made = [False], []
    plain_make, plain_ledger = lists._make, lists.export_ledger

    @contextlib.contextmanager
    def ledger(*given, **more):
        with plain_ledger(*given, **more) as found:
            busy[0] = True
            yield found
            busy[0] = False

    monkeypatch.setattr(lists, "export_ledger", ledger)
    monkeypatch.setattr(
        lists, "_make", lambda *given: (made.append(busy[0]), plain_make(*given))[1]
    )
    project.export(project.suppression([]))
    assert made == [False, False]
    project.export(project.suppression([]))
    assert made == [False, False]


def test_an_opt_out_that_comes_between_making_and_writing_is_off_the_list(project, monkeypatch):
    """The last gate is inside the transaction, though the list was made before it."""
    late, plain = project.of_arm("email_10")[0], lists._make_ready

    def made_then_refused(*given):
        ready = plain(*given)
        project.suppression([late])
        return ready

    monkeypatch.setattr(lists, "_make_ready", made_then_refused)
    report = project.export(project.suppression([]))
    assert late not in project.units_of("email")
    assert report.n_matched == 1
    assert [one.removed["suppressed"] for one in report.lists] == [1, 0]
    manifest = project.folder / "export" / "first" / "email" / "manifest.json"
    assert (
        verify_export.main([str(manifest), "--suppression", str(project.root / "suppression.csv")])
        == 0
    )


def test_a_list_that_is_given_its_name_while_another_looks_on_is_waited_for(project, monkeypatch):
    """What is read before the transaction may be half renamed; the transaction reads it whole."""
    suppression = project.suppression([])
    first, plain = project.export(suppression), lists.assigned_digest
    looks = []

    def torn(*given):
        looks.append(given)
        if len(looks) == 1:
            raise FileNotFoundError
        return plain(*given)

    monkeypatch.setattr(lists, "assigned_digest", torn)
    again = project.export(suppression)
    assert [one.batch for one in again.lists] == [one.batch for one in first.lists]


ODD_IDS = ["a,b", 'q"x', "o'neil", "José", "客户7", *(f"c{i}" for i in range(40))]


def test_ids_that_a_csv_file_quotes_are_on_the_list_in_the_ledger_and_among_contacts(tmp_path):
    odd = pd.DataFrame({"unit": ODD_IDS, "note": "two\rlines"}, dtype="str")
    project = make_project(tmp_path, table=odd)
    options = ExportOptions(customers=odd, text_columns=["note"])
    project.export(project.suppression([]), options=options)
    sent = set(project.of_arm("email_10", "email_20", "post"))
    assert project.units_of("email") | project.units_of("post") == sent
    assert set(pd.read_parquet(project.folder / "contacts.parquet")["unit"]) == sent
    assert set(project.list_of("email")["note"]) == {"two\nlines"}
    manifest = project.folder / "export" / "first" / "email" / "manifest.json"
    assert verify_export.main([str(manifest)]) == 0


texts = st.text(st.sampled_from('ab,"\n é客'), max_size=4)


@given(st.lists(st.tuples(texts, texts, texts), max_size=6))
def test_the_quick_way_to_write_columns_gives_the_bytes_of_a_csv_writer(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    content = files.csv_bytes(("a", "b", "c"), rows)
    assert files.csv_of_texts(("a", "b", "c"), columns) == content
    assert files.rows_of(content) == len(rows)


def test_an_export_again_changes_nothing_and_reports_the_same_batches(project):
    suppression = project.suppression(project.of_arm("post")[:3])
    first, files = project.export(suppression), project.files()
    again = project.export(suppression)
    assert [one.batch for one in again.lists] == [one.batch for one in first.lists]
    assert not any(one.is_new for one in again.lists)
    assert project.files() == files
    assert [row.action for row in project.registry.history(ID).rows].count("export") == 1


def test_two_projects_with_equal_input_write_equal_bytes(tmp_path):
    one, two = (make_project(tmp_path / name) for name in "ab")
    for project in (one, two):
        project.export(project.suppression(project.of_arm("post")[:3]))
    assert one.files() == two.files()


def test_one_channel_at_a_time_ends_in_the_same_lists_as_all_at_once(tmp_path):
    one, two = (make_project(tmp_path / name) for name in "ab")
    suppression = one.suppression(one.of_arm("post")[:3])
    for channel in ("email", "post"):
        one.export(suppression, options=ExportOptions(channel=channel))
    two.export(suppression)
    assert one.units_of("email") == two.units_of("email")
    assert one.units_of("post") == two.units_of("post")
    refuses(one, "CHANNEL_UNKNOWN", suppression, options=ExportOptions(channel="sms"))


def test_an_opt_out_of_one_channel_leaves_the_others(project):
    email, post = project.of_arm("email_10")[0], project.of_arm("post")[0]
    project.export(project.suppression([email, post], channel="post"))
    assert email in project.units_of("email")
    assert post not in project.units_of("post")


def test_arms_without_a_channel_share_a_list_that_any_opt_out_leaves(tmp_path):
    definition = DEFINITION.replace("channel: post, ", "")
    project = make_project(tmp_path, definition=definition)
    unit, *others = project.of_arm("post")
    project.export(project.suppression([unit], channel="sms"))
    assert project.units_of("unspecified") == set(others)


def test_an_opt_out_between_plan_and_export_is_removed_by_the_last_gate(project):
    planned = project.suppression([])
    unit = project.of_arm("email_10")[0]
    project.suppression([unit], at="2026-03-01T08:59:00+00:00")  # the same file, a moment later
    report = project.export(planned)
    assert unit not in project.units_of("email")
    manifest = json.loads((project.folder / report.lists[0].folder / "manifest.json").read_text())
    assert manifest["suppression"]["sha256"] == report.suppression_sha256
    assert manifest["suppression"]["rows"] == 2
    assert manifest["fates"]["suppressed"] == 1


def test_units_held_out_elsewhere_are_taken_off_and_said(project):
    held = pd.DataFrame({"unit": [*project.of_arm("email_10")[:2], "z1"]})
    report = project.export(project.suppression([]), options=ExportOptions(held_out=held))
    assert not set(held["unit"]) & project.units_of("email")
    assert report.remarks() == [
        "warning HELD_OUT_REMOVED (2): Assigned units are held out elsewhere since; they were "
        "taken off the list. Leave them out when assigning."
    ]


def test_what_would_not_be_sent_is_not_on_a_list(project):
    assigned = project.assigned.copy()
    unit = project.of_arm("post")[0]
    assigned["would_send"] = assigned["unit"] != unit
    project.export(project.suppression([]), assigned=assigned)
    assert unit not in project.units_of("post")


def test_whoever_opted_out_once_is_in_no_later_wave(project):
    seen = project.of_arm("email_10")[0]
    later, kept = project.of_arm("post")[:2]
    project.export(project.suppression([seen]))
    project.withdraw(project.suppression([seen, later]))
    project.export(project.suppression([kept]), wave="reminder")  # both have vanished from it
    assert not {seen, later, kept} & (
        project.units_of("email", "reminder") | project.units_of("post", "reminder")
    )
    assert len(project.units_of("post", "reminder")) == len(project.of_arm("post")) - 2


def test_a_delta_names_who_opted_out_since_and_each_only_once(project):
    first, second = project.of_arm("email_10")[:2]
    project.export(project.suppression([]))
    late = project.suppression([first])
    due = project.export(late)
    assert [check.code for check in blocked_by(due.checks)] == ["WITHDRAWALS_DUE"]
    report = project.withdraw(late)
    assert [(one.name, one.n_units) for one in report.lists] == [
        ("email-delta-1", 1),
        ("post-delta-1", 0),
    ]
    assert not blocked_by(project.export(late).checks)
    files = project.files()
    assert [one.is_new for one in project.withdraw(late).lists] == [False, False]
    assert project.files() == files
    project.withdraw(project.suppression([first, second]))
    assert project.units_of("email-delta-1") == {first}
    assert project.units_of("email-delta-2") == {second}
    assert list(project.list_of("post-delta-2").columns) == ["unit", "channel", "campaign", "wave"]
    assert not blocked_by(project.registry.verify())


def test_a_delta_reaches_every_exported_wave(project):
    unit = project.of_arm("post")[0]
    project.export(project.suppression([]))
    project.export(project.suppression([]), wave="reminder")
    report = project.withdraw(project.suppression([unit]))
    assert {(one.wave, one.name) for one in report.lists if one.n_units} == {
        ("first", "post-delta-1"),
        ("reminder", "post-delta-1"),
    }


def test_withdrawing_before_there_is_a_list_is_refused(project):
    with pytest.raises(StateError, match="no exported list"):
        project.withdraw(project.suppression([]))


def test_planned_contacts_have_the_form_of_the_contact_ledger(project):
    unit, *others = project.of_arm("post")
    project.export(project.suppression([]))
    project.withdraw(project.suppression([unit]))
    contacts = pd.read_parquet(project.folder / "contacts.parquet")
    assert list(contacts.columns) == [
        "unit", "sent_at", "channel", "offer", "campaign", "arm", "cost", "status",
    ]  # fmt: skip
    post = contacts[contacts["channel"] == "post"]
    assert set(post["unit"]) == set(others)
    assert set(post["cost"]) == {0.9}
    assert set(contacts["status"]) == {"planned"}
    assert set(contacts["sent_at"]) == {pd.Timestamp("2026-03-01T09:00Z")}


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_ids_that_a_spreadsheet_would_run_are_refused(tmp_path, start):
    table = pd.concat([customers(), pd.DataFrame({"unit": [f"{start}1+2"]})], ignore_index=True)
    project = make_project(tmp_path, table=table)
    assert "first: " in refuses(project, "ID_FORMULA", project.suppression([]))


@pytest.mark.parametrize("start", ["\t", "\r", "\x00"])
def test_ids_with_control_characters_never_get_as_far(project, start):
    assigned = project.assigned.copy()
    assigned.loc[0, "unit"] = f"{start}1"
    refuses(project, "ID_CONTROL_CHAR", project.suppression([]), assigned=assigned)


def test_text_columns_are_off_by_default_and_made_safe_when_on(tmp_path):
    table = customers().assign(
        city=lambda t: ["=cmd()", "-1", "Köln, Süd", None] * (len(t) // 4),
        balance=lambda t: [-1.5, 2.0] * (len(t) // 2),
        since=pd.Timestamp("2026-01-01"),
    )
    project = make_project(tmp_path, table=table)
    text = ExportOptions(customers=table, columns=("city",))
    refuses(project, "TEXT_COLUMN", project.suppression([]), options=text)
    double = ExportOptions(customers=table, columns=("balance", "balance"))
    refuses(project, "FEATURE_DUPLICATE", project.suppression([]), options=double)
    options = ExportOptions(customers=table, columns=("balance", "since"), text_columns=("city",))
    project.export(project.suppression([]), options=options)
    found = project.list_of("email").merge(table, on="unit", suffixes=("", "_was"))
    assert set(found["city"]) == {"'=cmd()", "'-1", "Köln, Süd", ""}
    assert (found["balance"].astype(float) == found["balance_was"]).all()
    assert set(found["balance"]) == {"-1.5", "2.0"}  # no apostrophe before a number


def test_nobody_to_send_to_is_a_header_and_a_typed_result(tmp_path):
    project = make_project(tmp_path, table=customers(0))
    report = project.export(project.suppression([]))
    assert [one.n_units for one in report.lists] == [0, 0]
    assert "EXPORT_EMPTY" in str(report)
    assert project.list_of("email").empty
    assert pd.read_parquet(project.folder / "contacts.parquet").empty


def test_before_the_draw_or_after_the_reading_nothing_is_exported(project):
    for state in ("live", "maturing"):
        project.registry.advance(ID, state)
    project.export(project.suppression([]), wave="reminder")  # outcomes of the first wave are in
    project.registry.advance(ID, "read")
    refuses(project, "STATE_ORDER", project.suppression([]))
    project.withdraw(project.suppression(project.of_arm("post")[:1]))  # an opt-out always counts


def test_a_changed_definition_an_other_assignment_and_a_wrong_wave_are_refused(project):
    changed = project.experiment.model_copy(update={"title": "Another"})
    original, project.experiment = project.experiment, changed
    refuses(project, "EXPERIMENT_FROZEN", project.suppression([]))
    project.experiment = original
    refuses(project, "WAVE_UNKNOWN", project.suppression([]), wave="third")
    project.export(project.suppression([]))
    other = project.assigned.iloc[1:]
    refuses(project, "EXPORT_OTHER", project.suppression([]), assigned=other)


def test_units_that_a_ramp_up_took_in_get_a_list_of_their_own(project):
    later = project.assigned.iloc[::3]
    first = project.assigned.drop(later.index)
    out = later.loc[later["arm"] == "post", "unit"].iloc[0]
    project.export(project.suppression([]), assigned=first, options=ExportOptions(channel="post"))
    report = project.export(project.suppression([out]))
    assert [one.name for one in report.lists] == ["email", "post", "post-more-1"]
    assert project.units_of("post") == set(first.loc[first["arm"] == "post", "unit"])
    more = set(later.loc[later["arm"] == "post", "unit"]) - {out}
    assert project.units_of("post-more-1") == more
    assert not any(one.is_new for one in project.export(project.suppression([out])).lists)
    gone = [sorted(more)[0], sorted(project.units_of("post"))[0]]
    late = project.withdraw(project.suppression([out, *gone]))
    assert {(one.name, one.n_units) for one in late.lists} == {
        ("email-delta-1", 0),
        ("post-delta-1", 1),
        ("post-more-1-delta-1", 1),
    }
    contacts = pd.read_parquet(project.folder / "contacts.parquet")
    assert contacts["unit"].is_unique
    assert len(contacts) == len(project.assigned[project.assigned["arm"] != "control"]) - 3
    for one in (*report.lists, *late.lists):
        assert verify_export.main([str(project.folder / one.folder / "manifest.json")]) == 0


def test_who_was_left_out_before_is_not_taken_in_by_a_later_list(project):
    held = pd.DataFrame({"unit": project.of_arm("post")[:2]})
    later = project.assigned.iloc[::3]
    first = project.assigned.drop(later.index)
    known = set(held["unit"]) & set(first["unit"])
    assert known
    options = ExportOptions(held_out=held)
    project.export(project.suppression([]), assigned=first, options=options)
    project.export(project.suppression([]))  # nobody is held out any more
    assert not known & (project.units_of("post") | project.units_of("post-more-1"))


def test_a_redrawn_wave_needs_its_own_draw(tmp_path):
    again = "starts_at: 2026-03-08T10:00:00, draw: redrawn}"
    definition = DEFINITION.replace("starts_at: 2026-03-08T10:00:00}", again)
    project = make_project(tmp_path, definition=definition)
    refuses(project, "WAVE_NOT_DRAWN", project.suppression([]), wave="reminder")
    anew = project.assigned.assign(assigned_at=pd.Timestamp("2026-03-08T09:00Z"))
    anew["arm"] = anew["arm"].sample(frac=1, random_state=1).to_numpy()
    anew["propensity"] = anew["arm"].map(project.experiment.shares)
    both = pd.concat([project.assigned, anew], ignore_index=True)
    project.export(project.suppression([]), assigned=both)
    project.export(project.suppression([]), assigned=both, wave="reminder")
    assert project.units_of("post") == set(project.of_arm("post"))
    assert project.units_of("post", "reminder") == set(anew.loc[anew["arm"] == "post", "unit"])


def test_a_universal_control_sends_nothing(tmp_path):
    definition = DEFINITION.replace("kind: campaign_holdout", "kind: universal_control")
    project = make_project(tmp_path, definition=definition)
    refuses(project, "KIND_MISMATCH", project.suppression([]))


def test_a_list_that_the_ledger_does_not_know_stops_the_export(tmp_path):
    one, two = (make_project(tmp_path / name) for name in "ab")
    one.export(one.suppression([]))
    (one.folder / "export").rename(two.folder / "export")  # a registry older than the lists
    with pytest.raises(StateError, match="older backup") as error:
        two.export(two.suppression([]))
    assert error.value.code == "EXPORT_ORPHAN"


def test_lost_or_changed_lists_are_said_not_written_again(project):
    suppression = project.suppression([])
    project.export(suppression)
    manifest = project.folder / "export" / "first" / "email" / "manifest.json"
    was = manifest.read_bytes()
    manifest.write_bytes(was.replace(b"email", b"emaiL"))
    with pytest.raises(DataError, match="has changed"):
        project.export(suppression)
    manifest.unlink()
    with pytest.raises(StateError, match="is not here"):
        project.export(suppression)
    assert blocked_by(project.registry.verify())
    manifest.write_bytes(was)
    assert not blocked_by(project.registry.verify())


def test_a_changed_byte_of_a_list_is_found_by_the_registry(project):
    project.export(project.suppression([]))
    path = project.folder / "export" / "first" / "post" / "post.csv"
    path.write_bytes(path.read_bytes().replace(b"post", b"pest", 1))
    assert [check.code for check in blocked_by(project.registry.verify())] == ["FILE_CHECKSUM"]


def test_a_campaign_exports_from_its_folder_with_those_it_excludes_held_out(tmp_path):
    plain = DEFINITION.replace("id: voucher", "id: programme")
    others = make_project(tmp_path / "other", definition=DEFINITION)
    excluding = DEFINITION.replace("metrics:", "assignment: {excludes: [programme]}\nmetrics:", 1)
    project = make_project(tmp_path / "own", definition=excluding)
    programme = project.folder.parent / "programme"
    others.folder.rename(programme)
    (programme / "experiment.yaml").write_text(plain)
    moved = others.assigned.assign(arm=others.assigned["arm"].where(
        ~others.assigned["unit"].isin(project.of_arm("post")[:2]), "control"
    ))  # fmt: skip
    moved.drop(columns="propensity").to_parquet(programme / "assignment.parquet")
    report = project.campaign.export(project.suppression([]), as_of=LATER_LOCAL)
    assert report.checks[1].code == "HELD_OUT_REMOVED"
    assert not project.units_of("post") & set(project.of_arm("post")[:2])
    late = project.campaign.export_withdrawals(
        project.suppression(project.of_arm("post")[4:5]), as_of=LATER_LOCAL
    )
    assert sum(one.n_units for one in late.lists) == 1


LATER_LOCAL = "2026-03-01T10:00:00"  # without a zone it is the schedule's


def test_a_changed_assignment_file_is_not_exported(project):
    path = project.folder / "assignment.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="has changed"):
        project.campaign.export(project.suppression([]), as_of=LATER_LOCAL)


def test_no_id_gets_into_messages_logs_trail_or_manifest(tmp_path, caplog, capsys):
    table = customers(prefix="canary")
    project = make_project(tmp_path, table=table)
    caplog.set_level(logging.DEBUG)
    said = []
    torn = project.root / "torn.csv"
    torn.write_text("# generated_at: 2026-03-01T06:00:00Z\nunit,channel\ncanary000001\n")
    odd = project.root / "odd.csv"
    odd.write_text("# generated_at: 2026-03-01T06:00:00Z\nunit,canary000001\ncanary000001,1\n")
    cased = project.suppression(["CANARY000001"], name="cased.csv")
    control = project.suppression(["canary\u200b000001"], name="control.csv")
    for path in (torn, odd, cased, control):
        with pytest.raises(DataError) as error:
            project.export(path)
        said.append(str(error.value))
    report = project.export(project.suppression(project.of_arm("post")[:2]))
    delta = project.withdraw(project.suppression(project.of_arm("post")[:5]))
    said += [str(report), report.to_json(), str(delta), delta.to_json(), caplog.text]
    said += [project.registry.history().to_json(), *capsys.readouterr()]
    said += [text.decode() for name, text in project.files().items() if "manifest" in name]
    said += [text.decode() for name, text in project.files().items() if "units.csv" in name]
    assert not [text for text in said if "canary" in text.lower()]
    assert "canary" in (project.folder / "export" / "first" / "post" / "post.csv").read_text()


def test_a_list_in_memory_is_as_good_as_a_file(project):
    unit = project.of_arm("post")[0]
    moment = pd.Timestamp("2026-03-01T06:00Z").to_pydatetime()
    table = pd.DataFrame({"unit": [unit]})
    project.export(suppression_of(table, generated_at=moment))
    assert unit not in project.units_of("post")
