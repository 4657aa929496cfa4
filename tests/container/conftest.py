"""Runs what the image runs, as real processes in a clean environment, on a fresh data folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import Container


@pytest.fixture
def contain(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Starts containers on the test's folder; none outlives the test."""
    started: list[Container] = []

    def start(*arguments: str, **environment: str) -> Container:
        started.append(Container(tmp_path, arguments, environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
