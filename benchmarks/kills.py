"""A server that is killed at random moments while eight clients have pictures made.

KILLS: how often, 20 by default. Every client goes on asking for what it was told to wait for. At
the end each job that was ever in the database must have ended, every row must have its file and
every file its row, and the database must be whole.
"""

import os
import random
import sqlite3
import tempfile
import threading
import time
import urllib.error
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.served import Served

_CLIENTS = 8
_SPAN = 1.6
"""A server is killed within so many times the seconds that its device takes to be ready."""
_LAST_SECONDS = 1200.0
_PICTURE = {"prompt": "a red apple", "steps": 3, "width": 64, "height": 64, "n_iter": 2}


@dataclass
class Outcome:
    """What is left after all kills.

    accepted: jobs that were in the database at a kill or were told of to a client. lost: of them
    those without a row. open: those that have not ended. damaged: what SQLite says of its file
    where that is not "ok". ends: how many jobs ended how.
    """

    kills: int
    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    without_file: list[str] = field(default_factory=list)
    without_row: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    without_reason: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    pictures: int = 0


def measure() -> list[Figure]:
    """What was lost by all kills."""
    found = run(int(os.environ.get("KILLS", "20")))
    ends = ", ".join(f"{count} {end}" for end, count in sorted(found.ends.items()))
    note = f"{found.accepted} jobs: {ends}"
    return [
        Figure(f"jobs lost by {found.kills} kills", len(found.lost), "", 0, note),
        Figure("jobs that never ended", len(found.open), "", 0),
        Figure("failed jobs without a reason", len(found.without_reason), "", 0),
        Figure("rows without their file", len(found.without_file), "", 0),
        Figure("files without their row", len(found.without_row), "", 0, f"{found.pictures} files"),
        Figure("faults of the database", len(found.damaged), "", 0),
    ]


def run(kills: int, seed: int = 0) -> Outcome:
    """Kill a server so often, and see what is left; seed: of the moments."""
    moments, outcome = random.Random(seed), Outcome(kills)
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder) / "data")
        clients = _Clients(served)
        accepted: set[str] = set()
        try:
            served.start()
            longest = _SPAN * _until_ready(served)
            clients.start()
            for number in range(1, kills + 1):
                time.sleep(moments.uniform(0, longest))
                served.kill()
                jobs = _jobs(served.data)
                accepted |= set(jobs)
                outcome.damaged += _damage(served.data)
                print(f"kill {number}: {Counter(end for end, _ in jobs.values())}", flush=True)
                served.start()
            clients.no_more.set()
            clients.join()
            accepted |= clients.told
            _wait_for_all(served)
        finally:
            clients.no_more.set()
            served.end()
        _compare(served.data, accepted, outcome)
    return outcome


class _Clients:
    """Eight threads, each of which asks for one picture after the other, whatever happens."""

    def __init__(self, served: Served):
        self._served = served
        self.no_more = threading.Event()
        self.told: set[str] = set()
        """Ids of jobs that the server has told of."""
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_CLIENTS)]

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until each has what it asked for last."""
        for thread in self._threads:
            thread.join(_LAST_SECONDS)

    def _work(self) -> None:
        while not self.no_more.is_set():
            task = uuid.uuid4().hex
            try:
                body = {**_PICTURE, "force_task_id": task, "seed": random.randrange(2**31)}
                self._served.post("/sdapi/v1/txt2img", body)
            except (OSError, HTTPException):
                self._wait_for(task)

    def _wait_for(self, task: str) -> None:
        """Ask for a job until it has ended, or was never taken in."""
        while True:
            try:
                job = self._served.get(f"/sdapi/v1/jobs/{task}?send_images=false")
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return
            except (OSError, HTTPException):
                pass  # it is being started again
            else:
                self.told.add(job["id"])
                if job["status"] not in ("queued", "running"):
                    return
            time.sleep(0.5)


def _until_ready(served: Served) -> float:
    start = time.monotonic()
    while True:
        try:
            served.get("/ready")
            return time.monotonic() - start
        except OSError:  # 503 as long as work cannot start
            time.sleep(0.1)


def _wait_for_all(served: Served) -> None:
    until = time.monotonic() + _LAST_SECONDS
    while time.monotonic() < until:
        status = served.get("/status")
        if not status["running"] and not status["waiting"]:
            return
        time.sleep(0.5)


def _compare(data: Path, accepted: set[str], outcome: Outcome) -> None:
    """What is in the database against what is on the disk, once the server has ended."""
    jobs = _jobs(data)
    outcome.accepted = len(accepted)
    outcome.lost = sorted(accepted - set(jobs))
    outcome.open = [key for key, (end, _) in jobs.items() if end in ("queued", "running")]
    outcome.without_reason = [k for k, (end, why) in jobs.items() if end == "failed" and not why]
    outcome.ends = Counter(end for end, _ in jobs.values())
    outcome.damaged += _damage(data)
    with sqlite3.connect(data / "atelier.db") as database:
        rows = {file for (file,) in database.execute("SELECT file FROM outputs")}
    database.close()
    files = {str(each.relative_to(data)) for each in (data / "outputs").rglob("*.png")}
    outcome.pictures = len(files)
    outcome.without_file, outcome.without_row = sorted(rows - files), sorted(files - rows)


def _jobs(data: Path) -> dict[str, tuple[str, str]]:
    """Status and reason of each job, by its id."""
    database = sqlite3.connect(data / "atelier.db")
    rows = database.execute("SELECT id, status, reason FROM jobs").fetchall()
    database.close()
    return {key: (status, reason) for key, status, reason in rows}


def _damage(data: Path) -> list[str]:
    database = sqlite3.connect(data / "atelier.db")
    told = [words for (words,) in database.execute("PRAGMA integrity_check")]
    database.close()
    return [words for words in told if words != "ok"]
