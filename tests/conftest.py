"""What all tests share: a fresh data folder each, the embedded model, and a quiet environment."""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import PostgresServer, programs

from studio.models.catalogue import Catalogue
from studio.services import Services, build_services
from studio.settings import Settings

HALF = 0.5

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: processes that share the files between them end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith("ATELIER_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _denormal_numbers_stay() -> Iterator[None]:
    """torch.set_flush_denormal holds for the whole process, and other pictures come of it."""
    yield
    if sys.float_info.min * HALF == 0.0:
        sys.modules["torch"].set_flush_denormal(False)
        pytest.fail("This test left the process without denormal numbers.")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on a fresh data folder, with a number format that does not depend on the CPU."""
    return Settings(
        data_dir=tmp_path / "data", device="cpu", dtype="float32", allowed_hosts="testserver"
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """Services that run jobs by `run_now`; no worker, no page."""
    built = build_services(settings)
    yield built
    built.stop()


@pytest.fixture(scope="session")
def embedded_id() -> str:
    """Id of the model that ships; no test knows its name."""
    return Catalogue(Path("/nonexistent")).get("").id


@pytest.fixture(scope="session")
def squad_files() -> Path:
    """The folder with dev-v2.0.json.gz and the published predictions, for who has it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "squad"
    if not (folder / "dev-v2.0.json.gz").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"The SQuAD files must be in {folder}.")
        pytest.skip(f"The SQuAD files are not in {folder}.")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, for who has its programs."""
    binaries = programs()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's programs must be here (Debian's package postgresql).")
        pytest.skip("PostgreSQL's programs are not here (Debian's package postgresql).")
    # Not among pytest's folders, which each run of it closes to the server's own user again.
    with tempfile.TemporaryDirectory(prefix="atelier-postgres-") as folder:
        server = PostgresServer(Path(folder), binaries).make()
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """ "" for SQLite, and the URL of a fresh PostgreSQL database: what asks for it runs on both."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database(request.node.name)
