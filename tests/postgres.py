"""A PostgreSQL server of the tests' own on loopback, and a fresh database of it for each test."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from sqlalchemy import create_engine, text

USER, PASSWORD = "painter", "p@ss:w/rd %41"
ADDRESS_PASSWORD = "p%40ss%3Aw%2Frd%20%2541"
_UNPRIVILEGED = "postgres"


def programs() -> Path | None:
    """The folder with initdb and postgres, newest first; None where there is none."""
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: float(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    return next((path for path in places if (path / "initdb").is_file()), None)


class PostgresServer:
    """A server with a password, on a port of loopback; it can be stopped, killed and begun again.

    folder: fresh, and given away to the user who runs it, since PostgreSQL refuses root.
    """

    def __init__(self, folder: Path, binaries: Path):
        self._folder = folder
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def make(self) -> "PostgresServer":
        """Make the cluster and start it; returns self."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(self._folder, _UNPRIVILEGED)
            shutil.chown(secret, _UNPRIVILEGED)
            for above in self._folder.parents:  # pytest's folders are closed to others
                above.chmod(above.stat().st_mode | 0o011)
        self._run(
            *("initdb", "--pgdata", str(self._folder / "cluster"), "--username", USER),
            *("--auth", "scram-sha-256", "--pwfile", str(secret)),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        return self.start()

    def start(self) -> "PostgresServer":
        """Start it and wait until it answers; returns self."""
        log = (self._folder / "log").open("ab")
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
        }
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        cluster = str(self._folder / "cluster")
        with log:
            self._process = subprocess.Popen(
                [*self._as_somebody(), str(self._binaries / "postgres"), "-D", cluster, *arguments],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            engine = create_engine(self._address("postgres"))
            try:
                with engine.connect():
                    return self
            except Exception:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                time.sleep(0.1)
            finally:
                engine.dispose()
        raise RuntimeError("PostgreSQL did not answer.")

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it: with SIGINT what runs is cut off, with SIGQUIT at once and without tidying up."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(30)

    def database(self, name: str) -> str:
        """The URL of a fresh database."""
        name = "t_" + re.sub(r"\W", "_", name).lower()[:50]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database by its name."""
        return f"postgresql://{USER}:{ADDRESS_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Do statements past the studio, each by itself; the rows of the last one."""
        engine = create_engine(self._address(name), isolation_level="AUTOCOMMIT")
        rows: list[tuple[object, ...]] = []
        try:
            with engine.connect() as connection:
                for each in statements:
                    found = connection.execute(text(each))
                    rows = [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()
        return rows

    def _address(self, name: str) -> str:
        return self.url(name).replace("postgresql://", "postgresql+psycopg://")

    def _as_somebody(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={_UNPRIVILEGED}", f"--regid={_UNPRIVILEGED}", "--clear-groups"]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_somebody(), str(self._binaries / program), *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
