"""Commands that were run, and what they left."""

import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence on standard error of a command that was refused."""
        assert self.code not in (0, None), self.out
        lines = [line for line in self.err.splitlines() if not line.startswith("Loading ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("atelier: ")
        assert lines[0].endswith(".")
        assert len(lines[0]) < 600
        assert "Traceback" not in self.err
        return lines[0]


def ended(process: subprocess.Popen, seconds: float = 120) -> Result:
    out, err = process.communicate(timeout=seconds)
    return Result(process.returncode, out, err)


def jobs(data: Path) -> list[str]:
    """The statuses of all jobs of a data folder."""
    connection = sqlite3.connect(data / "atelier.db")
    rows = connection.execute("SELECT status FROM jobs ORDER BY number").fetchall()
    connection.close()
    return [status for (status,) in rows]
