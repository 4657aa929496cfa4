"""Run by test_several_processes.py: takes jobs until none is left, and says which.

Its database's folder and URL come by the environment, its name as an argument.
"""

import os
import sys
import time
from pathlib import Path

from studio.store.database import Database
from studio.store.jobs import JobTable


def main(name: str) -> None:
    jobs = JobTable(Database(Path(os.environ["FOLDER"]), os.environ["URL"]))
    print("ready", flush=True)
    sys.stdin.readline()
    while (row := jobs.claim_next(name)) is not None:
        assert row.runner == name
        print(row.id, flush=True)
        time.sleep(0.01)  # as a job has the others come to theirs


if __name__ == "__main__":
    main(sys.argv[1])
