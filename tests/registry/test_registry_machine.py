"""Whatever is tried in whatever order, the registry does what a plain model of it does."""

import hashlib
import itertools
import json
from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from uplift.checks import blocked_by
from uplift.errors import UpliftError
from uplift.experiment import Experiment
from uplift.registry.registry import Registry
from uplift.registry.states import DECISIONS, STATES

IDS = ("spring", "autumn")
TITLES = ("One", "Another")
FILES = ("a", "b")
ids, titles, files = (st.sampled_from(values) for values in (IDS, TITLES, FILES))


class Model:
    """The registry in plain words: a code for each refusal, a number of new rows for the rest."""

    def __init__(self):
        self.state, self.title, self.decision = {}, {}, {}
        self.fixed = defaultdict(dict)  # (experiment, state) → file
        self.recorded = {}  # experiment → (file, whether a transition fixed it)
        self.amendments = defaultdict(list)

    def place(self, id_):
        return STATES.index(self.state[id_])

    def add(self, id_, title):
        if id_ not in self.state:
            self.state[id_], self.title[id_] = "draft", title
            return 1
        if self.title[id_] == title:
            return 0
        if self.state[id_] != "draft":
            return "EXPERIMENT_FROZEN"
        self.title[id_] = title
        return 1

    def seal(self, id_, title):
        added = self.add(id_, title)
        if added == "EXPERIMENT_FROZEN" or self.state[id_] != "draft":
            return added
        self.state[id_] = "sealed"
        return added + 1

    def advance(self, id_, to, file):
        if id_ not in self.state:
            return "EXPERIMENT_UNKNOWN"
        if STATES.index(to) <= self.place(id_):
            same = file is None or self.fixed[id_, to].get("file") == file
            return 0 if same else "ARTEFACT_FROZEN"
        if to in ("sealed", "decided") or STATES.index(to) != self.place(id_) + 1:
            return "STATE_ORDER"
        self.state[id_] = to
        if file is not None:
            self.fixed[id_, to]["file"] = file
            self.recorded[id_] = (file, True)
        return 1

    def decide(self, id_, action):
        if id_ not in self.state:
            return "EXPERIMENT_UNKNOWN"
        if id_ in self.decision:
            return 0 if self.decision[id_] == action else "ALREADY_DECIDED"
        if self.state[id_] != "read":
            return "STATE_ORDER"
        self.state[id_], self.decision[id_] = "decided", action
        return 1

    def amend(self, id_, change):
        if id_ not in self.state:
            return "EXPERIMENT_UNKNOWN"
        if self.state[id_] == "draft":
            return "STATE_ORDER"
        self.amendments[id_].append(change)
        return 1

    def record(self, id_, file):
        if id_ not in self.state:
            return "EXPERIMENT_UNKNOWN"
        known, is_fixed = self.recorded.get(id_, (None, False))
        if known == file:
            return 0
        if is_fixed:
            return "ARTEFACT_FROZEN"
        self.recorded[id_] = (file, False)
        return 1

    def audit(self, id_):
        return 1 if id_ in self.state else "EXPERIMENT_UNKNOWN"


class RegistryMachine(RuleBasedStateMachine):
    """Each step is done by the registry and by the model; both must say the same."""

    def __init__(self, registry, fields):
        super().__init__()
        self.registry, self.fields = registry, fields
        self.model, self.n_rows = Model(), 0
        self.sealed, self.reached = {}, {}
        for name in FILES:
            (registry.root / name).write_text(name)

    def experiment(self, id_, title):
        return Experiment(**{**self.fields, "id": id_, "title": title})

    def compare(self, expected, attempt):
        refused = None
        try:
            attempt()
        except UpliftError as error:
            refused = error.code
        assert refused == (expected if isinstance(expected, str) else None)
        self.n_rows += expected if refused is None else 0

    @rule(id_=ids, title=titles)
    def add(self, id_, title):
        experiment = self.experiment(id_, title)
        self.compare(self.model.add(id_, title), lambda: self.registry.add(experiment))

    @rule(id_=ids, title=titles)
    def seal(self, id_, title):
        experiment = self.experiment(id_, title)
        promised = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))
        expected = self.model.seal(id_, title)
        self.compare(expected, lambda: self.registry.seal(experiment, promised))

    @rule(id_=ids, to=st.sampled_from(STATES), file=st.one_of(st.none(), files))
    def advance(self, id_, to, file):
        paths = {"file": self.registry.root / file} if file else None
        expected = self.model.advance(id_, to, file)
        self.compare(expected, lambda: self.registry.advance(id_, to, artefacts=paths))

    @rule(id_=ids)  # so that long walks are as likely as short ones
    def advance_to_the_next(self, id_):
        if id_ in self.model.state:
            to = STATES[min(self.model.place(id_) + 1, len(STATES) - 1)]
            expected = self.model.advance(id_, to, None)
            self.compare(expected, lambda: self.registry.advance(id_, to))

    @rule(id_=ids, action=st.sampled_from(sorted(DECISIONS)))
    def decide(self, id_, action):
        expected = self.model.decide(id_, action)
        self.compare(expected, lambda: self.registry.decide(id_, action, "words"))

    @rule(id_=ids, change=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9))
    def amend(self, id_, change):
        expected = self.model.amend(id_, change)
        self.compare(expected, lambda: self.registry.amend(id_, change, why="because"))

    @rule(id_=ids, file=files)
    def record(self, id_, file):
        expected, path = self.model.record(id_, file), self.registry.root / file
        self.compare(expected, lambda: self.registry.record(id_, "file", path))

    @rule(id_=ids)
    def audit(self, id_):
        self.compare(self.model.audit(id_), lambda: self.registry.audit(id_, "note"))

    @invariant()
    def the_chain_verifies_and_every_write_is_in_it(self):
        assert not blocked_by(self.registry.verify())
        assert len(self.registry.history().rows) == self.n_rows

    @invariant()
    def states_go_forwards_one_by_one_and_are_those_of_the_model(self):
        found = {entry.id: entry for entry in self.registry.experiments().rows}
        assert {name: entry.state for name, entry in found.items()} == self.model.state
        for name, entry in found.items():
            assert STATES.index(entry.state) >= self.reached.get(name, 0)
            self.reached[name] = STATES.index(entry.state)
            assert entry.title == self.model.title[name]
            if entry.state != "draft":
                assert self.sealed.setdefault(name, entry.digest) == entry.digest

    @invariant()
    def amendments_and_files_are_those_of_the_model(self):
        for name in self.model.state:
            changes = [one.change for one in self.registry.amendments(name)]
            assert changes == self.model.amendments[name]
            if name in self.model.recorded:
                file = self.model.recorded[name][0]
                path = self.registry.artefact(name, "file")
                assert hashlib.sha256(path.read_bytes()).digest() == (
                    hashlib.sha256(file.encode()).digest()
                )


@pytest.mark.slow_on("postgresql")
@pytest.mark.parametrize("size", ["few", pytest.param("many", marks=pytest.mark.slow)])
def test_the_registry_does_what_its_model_does(place, tmp_path, experiment, size):
    numbers = itertools.count()
    n_examples = {
        ("few", "sqlite"): 3,
        ("few", "postgresql"): 1,
        ("many", "sqlite"): 200,
        ("many", "postgresql"): 20,
    }[size, place.kind]

    def machine():
        number = next(numbers)
        root = tmp_path / f"root-{number}"
        root.mkdir()
        registry = Registry(root, database=place.part(f"example_{number}").location)
        return RegistryMachine(registry, experiment.model_dump())

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
