"""The main job ends where it should, and in the same state however it was interrupted."""

import pytest

from uplift.demo import Demo, run_demo
from uplift.files import file_digest
from uplift.registry.registry import Registry
from uplift.tracking.store import Tracking, alias_of

N_CUSTOMERS = 8_000


REPORT = "experiments/spring_voucher/report.html"


def state_of(project):
    """What a run leaves: files, registry states and actions, model and its place.

    The page is left out: it shows the times of the audit trail and the number of the run.
    """
    files = {
        str(path.relative_to(project)): file_digest(path)
        for path in sorted((project / "experiments").rglob("*"))
        if path.is_file() and "registry.db" not in path.name and path.suffix != ".html"
    }
    registry = Registry(project / "experiments")
    trail = [(row.experiment, row.action, row.to_state) for row in registry.history().rows]
    champion = alias_of("spring_voucher", "champion", Tracking(project))
    return files, trail, champion.version if champion else None


@pytest.fixture(scope="module")
def finished(new_project, tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("finished"))
    result = run_demo(project, n_customers=N_CUSTOMERS)
    return project, result


def test_the_demo_ends_with_the_decision_the_money_and_the_truth(finished):
    project, result = finished
    for amount in result.money:
        assert amount.ci[0] < amount.profit < amount.ci[1]
        assert amount.ci[0] < amount.truth < amount.ci[1]
    assert "Semi-synthetic" in result.label
    assert result.decision in result.table().text()
    assert (project / REPORT).is_file()


def test_the_registry_is_whole_after_the_demo(finished):
    project, _ = finished
    registry = Registry(project / "experiments")
    assert registry.state("spring_voucher") == "decided"
    assert all(check.passed for check in registry.verify())


def test_a_second_run_changes_nothing(finished):
    project, first = finished
    before, page = state_of(project), file_digest(project / REPORT)
    assert run_demo(project, n_customers=N_CUSTOMERS).to_json() == first.to_json()
    assert state_of(project) == before
    assert file_digest(project / REPORT) == page


@pytest.mark.slow
def test_interrupted_at_every_step_it_ends_in_the_same_state(new_project, tmp_path, finished):
    project = new_project(tmp_path)
    n_steps = len(Demo(project).steps)
    for stop in range(1, n_steps):
        walk(Demo(project, n_customers=N_CUSTOMERS), stop)
    run_demo(project, n_customers=N_CUSTOMERS)
    assert state_of(project) == state_of(finished[0])


@pytest.mark.slow
def test_where_nothing_is_proven_nobody_is_contacted_and_nothing_promoted(new_project, tmp_path):
    result = run_demo(new_project(tmp_path), n_customers=600)
    assert result.decision.startswith("Contact nobody")
    assert result.verdicts["promotion"].startswith("refused: ")
    assert "scored customers" not in result.files


def walk(demo: Demo, n_steps: int) -> None:
    """The first steps of a demo that is then given up."""
    for _, work in demo.steps[:n_steps]:
        work()


@pytest.mark.slow
def test_hillstrom_gives_the_published_verdicts(new_project, tmp_path, hillstrom_file, monkeypatch):
    monkeypatch.setenv("UPLIFT_DATA", str(hillstrom_file))
    result = run_demo(new_project(tmp_path), data="hillstrom")
    assert result.decision.startswith("Mens email to everyone")
    assert result.verdicts == {
        "champion": "models:/hillstrom_email/1",
        "targeting for spend": "not proven",
        "ranking by effect of mens_email on visit": "not proven",
        "ranking by effect of womens_email on visit": "proven",
    }
