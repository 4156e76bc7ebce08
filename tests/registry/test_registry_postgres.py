"""PostgreSQL's own faults: conflicts, cut connections, time limits, a server that is not there."""

import socket
import threading
from contextlib import closing, suppress

import psycopg
import pytest

from uplift.checks import blocked_by
from uplift.errors import StateError
from uplift.registry import engines, refusals
from uplift.registry.database import Database
from uplift.registry.registry import Registry

ID = "hillstrom_email"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(refusals, "FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def ready(postgres_url, tmp_path, experiment, promised):
    registry = Registry(tmp_path, database=postgres_url)
    registry.seal(experiment, promised, who="ada")
    return registry


class CuttingProxy:
    """Passes bytes to the server, and cuts the connection at the next COMMIT when told to."""

    def __init__(self, url):
        self.cut, self.n_cuts, self.sockets = None, 0, []
        before, _, database = url.rpartition("/")
        self.server = ("127.0.0.1", int(before.rpartition(":")[2]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://tester@127.0.0.1:{self.listener.getsockname()[1]}/{database}"
        self.threads = []
        self._start(self._accept)

    def close(self):
        for one in (self.listener, *self.sockets):
            _shut(one)
        for thread in self.threads:
            thread.join()
        for one in (self.listener, *self.sockets):
            one.close()

    def _start(self, work, *arguments):
        self.threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self.threads[-1].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.server)
                self.sockets += [client, server]
                self._start(self._pass, client, server)
                self._start(self._pass, server, client)

    def _pass(self, source, target):
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.cut and b"COMMIT" in data and source.getpeername() != self.server:
                    self.n_cuts += 1
                    _shut(source)  # first, so that no answer can arrive
                    if self.cut == "after":
                        target.sendall(data)
                    self.cut = None
                    break
                target.sendall(data)
        _shut(target)


def _shut(connection):
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(ready, postgres_url):
    with closing(CuttingProxy(postgres_url)) as found:
        yield found


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_connection_cut_at_commit_writes_once_whatever_the_server_did(ready, proxy, cut):
    registry = Registry(ready.root, database=proxy.url)
    proxy.cut = cut
    row = registry.audit(ID, "note", {"n": 1}, who="ada")
    assert proxy.n_cuts == 1
    (found,) = [one for one in ready.history(ID).rows if one.action == "note"]
    assert found == row
    assert not blocked_by(ready.verify())


def test_without_the_key_of_the_transaction_it_would_be_written_twice(ready, proxy, monkeypatch):
    monkeypatch.setattr(Database, "_was_committed", lambda self, key: False)
    proxy.cut = "after"
    Registry(ready.root, database=proxy.url).audit(ID, "note")
    assert [one.action for one in ready.history(ID).rows].count("note") == 2


def test_an_outcome_that_cannot_be_learned_is_said_to_be_unknown(ready, proxy, monkeypatch):
    def gone(self, key):
        raise refusals.Repeatable("gone", code="DATABASE_UNREACHABLE")

    monkeypatch.setattr(Database, "_find", gone)
    proxy.cut = "after"
    with pytest.raises(StateError, match="may or may not") as error:
        Registry(ready.root, database=proxy.url).audit(ID, "note")
    assert error.value.code == "OUTCOME_UNKNOWN"
    with ready._database.write("wait"):  # until the server has ended that transaction
        pass
    assert [one.action for one in ready.history(ID).rows].count("note") == 1


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize(("n_failures", "n_tries"), [(5, 6), (99, 6)])
def test_a_conflict_is_tried_again_five_times(ready, postgres_url, code, n_failures, n_tries):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create sequence tries")  # counts on, whatever is rolled back
        connection.execute(
            "create function fail() returns trigger language plpgsql as $$ begin "
            f"if nextval('tries') <= {n_failures} then "
            f"raise exception using message = 'conflict', errcode = '{code}'; end if; "
            "return new; end $$"
        )
        connection.execute(
            "create trigger fail before insert on audit for each row execute function fail()"
        )
    if n_failures < n_tries:
        assert ready.audit(ID, "note").action == "note"
    else:
        with pytest.raises(StateError, match="at the same time") as error:
            ready.audit(ID, "note")
        assert error.value.code == "REGISTRY_BUSY"
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select last_value from tries").fetchone() == (n_tries,)
        connection.execute("drop trigger fail on audit")
    notes = [row.action for row in ready.history(ID).rows].count("note")
    assert notes == (n_failures < n_tries)
    assert not blocked_by(ready.verify())


def test_a_statement_that_hangs_is_ended(ready, postgres_url, monkeypatch):
    monkeypatch.setattr(engines, "STATEMENT_SECONDS", 0.1)
    database = Database(postgres_url)
    with pytest.raises(StateError) as error, database.write("sleep") as connection:
        connection.exec_driver_sql("select pg_sleep(20)")
    assert error.value.code == "REGISTRY_BUSY"
    assert ready.audit(ID, "note").action == "note"


def test_a_server_that_only_reads_is_told_apart(ready, postgres_url):
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = on")
    assert ready.state(ID) == "sealed"
    with pytest.raises(StateError, match="primary server") as error:
        ready.audit(ID, "note")
    assert error.value.code == "DATABASE_READ_ONLY"


def test_a_server_that_is_not_there_is_a_typed_error_without_the_password(tmp_path, experiment):
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    registry = Registry(tmp_path, database=f"postgresql://me:secret@127.0.0.1:{port}/db")
    for attempt in (registry.experiments, lambda: registry.add(experiment)):
        with pytest.raises(StateError, match="cannot be reached") as error:
            attempt()
        assert error.value.code == "DATABASE_UNREACHABLE"
        assert "secret" not in str(error.value)


def test_two_registries_of_one_database_do_not_wait_for_each_other(ready, postgres_url, experiment):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create schema other")
    other = Registry(ready.root, database=f"{postgres_url}?options=-csearch_path%3Dother")
    with ready._database.write("long"):
        assert other.add(experiment).state == "draft"
    assert len(ready.history().rows) == 2
