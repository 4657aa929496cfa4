"""Limits of control groups, read from file systems that look like Linux's."""

from pathlib import Path

import psutil
import pytest

from studio.models import container, devices
from studio.models.container import Limit, memory_limit

GB = 10**9


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")


def second(limit: object, used: int, idle: int = 0) -> dict[str, object]:
    return {
        "memory.max": limit,
        "memory.current": used,
        "memory.stat": f"anon 1\ninactive_file {idle}",
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def test_the_tightest_of_all_groups_counts(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/pods/mine\n")
    top = root / "sys/fs/cgroup"
    group(top / "pods/mine", second(8 * GB, GB, GB // 2))
    group(top / "pods", second(6 * GB, GB))
    group(top, second("max", GB))
    assert memory_limit(root) == Limit(6 * GB, GB)


def test_pages_of_files_are_given_back(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/\n")
    group(root / "sys/fs/cgroup", second(8 * GB, 5 * GB, 3 * GB))
    assert memory_limit(root) == Limit(8 * GB, 2 * GB)


def test_version_one(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    files = {
        "memory.limit_in_bytes": 4 * GB,
        "memory.usage_in_bytes": 3 * GB,
        "memory.stat": f"cache 5\ntotal_inactive_file {GB}",
    }
    group(root / "sys/fs/cgroup/memory/docker/abc", files)
    assert memory_limit(root) == Limit(4 * GB, 2 * GB)
    files["memory.limit_in_bytes"] = 9223372036854771712
    group(root / "sys/fs/cgroup/memory/docker/abc", files)
    assert memory_limit(root) is None, "what is written where there is no limit"


def test_a_container_that_sees_its_group_as_the_top(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/../../docker/abc\n")
    group(root / "sys/fs/cgroup", second(2 * GB, GB))
    assert memory_limit(root) == Limit(2 * GB, GB)


def test_no_groups_no_limit(tmp_path: Path, root: Path) -> None:
    assert memory_limit(tmp_path / "nowhere") is None
    (root / "proc/self/cgroup").write_text("0::/\n")
    assert memory_limit(root) is None
    group(root / "sys/fs/cgroup", second("max", GB))
    assert memory_limit(root) is None


def test_main_memory_is_the_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory_limit", lambda: Limit(2 * GB, GB))
    now = devices.main_memory()
    assert now.total == 2 * GB
    assert GB <= now.used <= 2 * GB
    monkeypatch.setattr(devices, "memory_limit", lambda: Limit(10**15, GB))
    assert devices.main_memory().total == psutil.virtual_memory().total


def test_this_machine_can_be_asked() -> None:
    found = container.memory_limit()
    assert found is None or 0 <= found.used <= found.total
