"""One set of services for all tests of pictures, so that the model is loaded once."""

from collections.abc import Iterator

import pytest
from judge.judge import Judge
from recorder import Studio, clean_environment

from studio.services import build_services
from studio.settings import Settings


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The embedded model in float32 on the CPU; whoever changes its weights puts them back."""
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        folder = tmp_path_factory.mktemp("studio")
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Tells what a picture shows."""
    return Judge.load()
