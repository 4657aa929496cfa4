"""Models that another program has fetched: taken from its cache, with and without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub
from huggingface_hub import snapshot_download
from test_hub import REPO, Listener, weights

from studio.errors import ModelError
from studio.models.hub import Hub
from studio.models.hub_cache import cached_revision
from studio.requests import DownloadRequest

SMALL = b'{"_class_name": "StableDiffusionPipeline"}'
FILES = {
    "model_index.json": SMALL,
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": weights(5000),
}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache of a user who has no token."""
    folder = tmp_path / "hf" / "hub"
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub({REPO: dict(FILES)}) as server:
        yield server


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def fetched_before(hub: FakeHub) -> None:
    """What transformers or diffusers leave in the cache."""
    snapshot_download(REPO, endpoint=hub.address)
    hub.asked.clear()


def test_without_a_network_the_cache_is_used(hub: FakeHub, models: Path) -> None:
    fetched_before(hub)
    Hub(models, "http://127.0.0.1:9")(DownloadRequest(repo=REPO), Listener())
    found = models / "tiny"
    assert {
        path.relative_to(found).as_posix(): path.read_bytes()
        for path in found.rglob("*")
        if path.is_file() and path.name != "notes.json"
    } == FILES
    assert COMMIT[:12] in (found / "notes.json").read_text()
    assert hub.asked == []


def test_where_downloads_are_forbidden_too(
    hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched_before(hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Hub(models, hub.address)(DownloadRequest(repo=REPO), Listener())
    assert (models / "tiny" / "model_index.json").read_bytes() == SMALL


def test_with_a_network_nothing_is_fetched_twice(hub: FakeHub, models: Path) -> None:
    fetched_before(hub)
    Hub(models, hub.address)(DownloadRequest(repo=REPO), Listener())
    assert (models / "tiny" / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert not [path for _, path, _ in hub.asked if "resolve" in path]


def test_what_is_damaged_in_the_cache_is_fetched(hub: FakeHub, models: Path, cache: Path) -> None:
    fetched_before(hub)
    (large,) = [path for path in cache.rglob("blobs/*") if path.stat().st_size > 1000]
    data = large.read_bytes()
    large.write_bytes(data[:-1] + b"?")
    Hub(models, hub.address)(DownloadRequest(repo=REPO), Listener())
    name = "unet/diffusion_pytorch_model.safetensors"
    assert (models / "tiny" / name).read_bytes() == FILES[name]


def test_one_that_is_in_no_cache_is_still_refused(models: Path) -> None:
    assert cached_revision(REPO, "") is None
    with pytest.raises(ModelError, match=r"could not be reached .*; check the network"):
        Hub(models, "http://127.0.0.1:9")(DownloadRequest(repo=REPO), Listener())


def test_another_revision_is_not_taken_for_it(hub: FakeHub, models: Path) -> None:
    fetched_before(hub)
    assert cached_revision(REPO, COMMIT) is not None
    assert cached_revision(REPO, "other") is None
    with pytest.raises(ModelError, match="could not be reached"):
        Hub(models, "http://127.0.0.1:9")(DownloadRequest(repo=REPO, revision="other"), Listener())
