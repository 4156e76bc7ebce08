"""A real PostgreSQL of the tests' own: on loopback, in a temporary directory, gone afterwards.

Speed before durability (no fsync): what is tested is what our code does, not what the disk does.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 60
OWNERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "UTC",
}


class PostgresMissing(Exception):
    """There is no PostgreSQL server program on this machine."""


class PostgresServer:
    """A running server; `fresh_database()` gives each test an empty database."""

    def __init__(self, port: int) -> None:
        self.url = f"postgresql://tester@127.0.0.1:{port}"

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of an empty database, dropped with all its connections at the end."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f"create database {name} template template0")
        try:
            yield f"{self.url}/{name}"
        finally:
            self._execute(f"drop database {name} with (force)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(statement)


def find_programs() -> Path:
    """The newest folder that holds `initdb` and `postgres`. Errors: PostgresMissing."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresMissing(
        "PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql"
    )


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server that is started here and stopped, by its process id, when the block ends."""
    programs = find_programs()
    folder = Path(tempfile.mkdtemp(prefix="uplift-postgres-"))
    account = _unprivileged(folder)
    try:
        data = folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"]
        done = subprocess.run(
            [*map(str, initdb), "--encoding=UTF8", "--no-locale"],
            capture_output=True, text=True, check=False, cwd=folder, **account,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        with _started(programs / "postgres", data, account) as port:
            yield PostgresServer(port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Whom the server runs as: ourselves, or somebody without rights when we are root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    owner = next(known[name] for name in OWNERS if name in known)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def _started(program: Path, data: Path, account: dict[str, Any]) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(program), "-D", str(data), "-p", str(port), *options]
    log_file = data.parent / "server.log"
    with log_file.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=data, **account)
    try:
        _wait_until_ready(server, port, log_file)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: ends the connections
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)  # at once; its children end with it
            server.wait(timeout=20)


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://tester@127.0.0.1:{port}/postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log_file.read_text()}") from None
            time.sleep(0.05)
