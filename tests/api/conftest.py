"""The whole application: in this process for most tests, and as a server for foreign clients."""

import threading
from collections.abc import Iterator

import pytest
from browser.live_server import LiveServer
from fastapi import FastAPI
from fastapi.testclient import TestClient

from studio.api.sdapi import routes as sdapi
from studio.api.v1 import routes as v1
from studio.api.v1.door import PREFIX
from studio.services import Services
from tabs.page import build_app


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(build_app(services)) as started:
        yield started
        _warm()


@pytest.fixture
def sdapi_client(services: Services) -> Iterator[TestClient]:
    """AUTOMATIC1111's routes alone: to build the page would take longer than most tests."""
    app = FastAPI()
    app.include_router(sdapi.build_router(services))
    services.start()
    with TestClient(app) as started:
        yield started
        _warm()


@pytest.fixture
def v1_client(services: Services) -> Iterator[TestClient]:
    """The studio's own routes alone."""
    app = FastAPI()
    app.include_router(v1.build_router(services))
    services.start()
    with TestClient(app, base_url=f"http://testserver{PREFIX}/") as started:
        yield started
        _warm()


def _warm() -> None:
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join()


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server in a process of its own, with the model that ships."""
    server = LiveServer(tmp_path_factory.mktemp("live"))
    try:
        yield server.start()
    finally:
        server.stop()
