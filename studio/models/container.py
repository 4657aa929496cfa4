"""Memory of the container that this process runs in, where its control group sets a limit."""

from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60
"""Version 1 of control groups writes about this where there is no limit."""


@dataclass(frozen=True)
class Limit:
    """Bytes that a control group may use, and that it uses and cannot give back at once."""

    total: int
    used: int


def memory_limit(root: Path = Path("/")) -> Limit | None:
    """The tightest limit that holds for this process, None where there is none.

    root: of the file system. Source: Linux, Documentation/admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return None
    found = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            found += _limits(root / "sys/fs/cgroup", place, "memory.max", "memory.current")
        elif controllers == "memory":
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            found += _limits(root / "sys/fs/cgroup/memory", place, *files)
    return min(found, key=lambda each: each.total - each.used, default=None)


def _limits(top: Path, place: str, limit: str, usage: str) -> list[Limit]:
    """Those of a group and of all groups that it is in.

    A container often sees its own group as the top, whatever /proc says of its place.
    """
    own = top / place.lstrip("/")
    folders = [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]
    found = (_limit(folder, limit, usage) for folder in folders)
    return [each for each in found if each is not None]


def _limit(folder: Path, limit: str, usage: str) -> Limit | None:
    try:
        total = int((folder / limit).read_text())  # ValueError for "max"
        used = int((folder / usage).read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    # Pages of files that nobody has touched of late are given back when they are wanted.
    idle = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    return Limit(total, max(0, used - idle)) if total < _UNLIMITED else None
