"""A client of the whole application, started and stopped as the server would."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from studio.services import Services
from tabs.page import build_app


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(build_app(services)) as started:
        yield started
        while services.engine.known_device is None:  # its thread must not outlive the test
            time.sleep(0.02)
