"""Several processes at work on one database, as a server, its devices and commands are."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def start(name: str, folder: Path, url: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(HERE / "claiming.py"), name],
        env=os.environ | {"FOLDER": str(folder), "URL": url, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_job_is_taken_by_two_processes(database, jobs, database_url, tmp_path):
    ids = [jobs.add("generate", "{}").id for _ in range(120)]
    takers = [start(f"taker {number}", tmp_path, database_url) for number in range(4)]
    for each in takers:
        assert each.stdout.readline() == "ready\n"
    for each in takers:
        each.stdin.write("\n")
        each.stdin.flush()
    taken = [each.communicate()[0].split() for each in takers]
    assert [each.returncode for each in takers] == [0] * 4
    assert sorted(job_id for mine in taken for job_id in mine) == sorted(ids)
    assert sum(1 for each in taken if each) > 1, "one of them has had all to itself"
    for number, mine in enumerate(taken):
        assert {jobs.get(job_id).runner for job_id in mine} <= {f"taker {number}"}
