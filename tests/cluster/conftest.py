"""What the tests of a cluster share."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab import Lab


@pytest.fixture(scope="module")
def open_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., "Lab"]]:
    """Begins a cluster and services on it; none outlives the tests of its file."""
    pytest.importorskip("ray", reason="Ray is not installed; install atelier[cluster].")
    from lab import Lab

    labs: list[Lab] = []

    def open_one(**fields: object) -> Lab:
        labs.append(Lab(tmp_path_factory.mktemp("lab"), **fields))
        return labs[-1]

    yield open_one
    for lab in labs:
        lab.close()
