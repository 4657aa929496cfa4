"""A client of the whole application, started and stopped as the server would."""

import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from studio.services import Services
from tabs.page import build_app


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(build_app(services)) as started:
        yield started
        for thread in threading.enumerate():
            if thread.name == "warm-up":
                thread.join()
