"""Downloads from a server that answers as the hub does: what is taken, resumed and checked."""

import io
import json
import socket
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_hub import COMMIT, FakeHub
from safetensors.torch import save_file
from tiny_models import tiny_model
from tiny_readers import make_reader

from studio.context import Signal
from studio.errors import Cancelled, ModelError, RequestError
from studio.events import Event, Finished, Progress
from studio.models import hub as hub_module
from studio.models.catalogue import Catalogue
from studio.models.hashes import Hashes
from studio.models.hub import Hub
from studio.models.readers import ReaderShelf
from studio.requests import DownloadRequest, validated
from studio.services import build_services
from studio.settings import Settings

REPO = "someone/tiny"


class Listener:
    """A context that keeps what it is told; `stop` after so many checks."""

    job_id = "download"

    def __init__(self, stop: int = -1):
        self.events: list[Event] = []
        self._stop = stop

    def borrow(self, spec: Any) -> Any:
        raise AssertionError("a download needs no model")

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def check(self) -> Signal:
        self._stop -= 1
        if self._stop == 0:
            raise Cancelled
        return Signal.GO_ON

    def save(self, artifact: Any) -> int:
        raise AssertionError("a download makes no picture")


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture(scope="module")
def folder_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A diffusers folder with much beside it that nobody needs."""
    folder = tmp_path_factory.mktemp("remote") / "tiny"
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    tiny_model("sd", folder, tokenizer)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    files["tiny.safetensors"] = files["unet/diffusion_pytorch_model.safetensors"]
    files["unet/diffusion_pytorch_model.fp16.safetensors"] = b"half"
    files["unet/diffusion_pytorch_model.bin"] = b"pickle"
    files["unet/model.onnx"] = b"onnx"
    files["vae_encoder/flax_model.msgpack"] = b"flax"
    files["README.md"] = b"# Tiny"
    files[".gitattributes"] = b""
    return files


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        yield server


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def fetch(hub: FakeHub, models: Path, listener: Listener | None = None, **fields: str) -> Listener:
    listener = listener or Listener()
    request = validated(DownloadRequest, {"repo": REPO, **fields})
    Hub(models, hub.address)(request, listener)
    return listener


def weights(size: int = 10) -> bytes:
    stream = io.BytesIO()
    path = Path("/tmp") / f"weights-{size}-{id(stream)}.safetensors"
    save_file({"x": torch.arange(float(size))}, path)
    data = path.read_bytes()
    path.unlink()
    return data


# --- what is taken --------------------------------------------------------------------------------


def test_a_folder_comes_with_what_it_needs_and_nothing_else(
    hub: FakeHub, models: Path, folder_files: dict[str, bytes]
) -> None:
    hub.repos[REPO] = folder_files
    heard = fetch(hub, models)
    found = {p.relative_to(models / "tiny").as_posix() for p in (models / "tiny").rglob("*.*")}
    assert "unet/diffusion_pytorch_model.safetensors" in found
    assert not {name for name in found if name.endswith((".bin", ".onnx", ".msgpack", ".md"))}
    assert not [name for name in found if "fp16" in name or name.startswith(".")]
    catalogue = Catalogue(models, embedded=Path("/nonexistent"))
    (entry,) = catalogue.entries()
    assert (entry.id, entry.problem) == ("tiny", "")
    note = json.loads((models / "tiny" / "notes.json").read_text())
    assert note == {"source": f"{REPO}@{COMMIT[:12]}"}
    last = [event for event in heard.events if isinstance(event, Progress)][-1]
    assert (last.step, last.unit) == (last.steps, "MB")
    assert not (models / ".downloading" / "someone--tiny").exists()


def test_a_reader_comes_with_its_tokenizer_and_nothing_else(
    hub: FakeHub, models: Path, tmp_path: Path
) -> None:
    folder = make_reader(tmp_path / "made")
    hub.repos[REPO] = {path.name: path.read_bytes() for path in folder.iterdir()} | {
        "pytorch_model.bin": b"pickle",
        "onnx/model.safetensors": b"other",
        "tf_model.h5": b"keras",
        "vocab.txt": b"the",
        "README.md": b"# Reader",
    }
    fetch(hub, models)
    shelf = ReaderShelf(models, Hashes(), tmp_path / "none")
    (entry,) = shelf.entries()
    assert (entry.id, entry.problem) == ("tiny", "")
    found = {path.name for path in (models / "tiny").rglob("*") if path.is_file()}
    assert not found & {"pytorch_model.bin", "tf_model.h5"}
    assert {"model.safetensors", "tokenizer.json", "vocab.txt", "README.md"} <= found
    assert not (models / "tiny" / "onnx").exists()


def test_the_only_file_of_a_repository(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"README.md": b"x", "deep/style.safetensors": weights()}
    fetch(hub, models)
    assert (models / "style.safetensors").read_bytes() == weights()
    assert json.loads((models / "style.json").read_text())["source"].startswith(REPO)


def test_one_file_by_its_name(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"a.safetensors": weights(3), "b.safetensors": weights(4)}
    fetch(hub, models, file="b.safetensors")
    assert [path.name for path in models.glob("*.safetensors")] == ["b.safetensors"]


def test_a_token_from_the_environment(
    hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = {"a.safetensors": weights()}
    hub.gated.add(REPO)
    monkeypatch.setenv("HF_TOKEN", "good")
    fetch(hub, models)
    assert (models / "a.safetensors").exists()


def test_a_token_from_a_file(
    hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repos[REPO] = {"a.safetensors": weights()}
    hub.gated.add(REPO)
    (tmp_path / "token").write_text("good\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    fetch(hub, models)
    assert (models / "a.safetensors").exists()


# --- stopping and going on ------------------------------------------------------------------------


def test_a_stopped_download_goes_on_where_it_was(
    hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    data = weights(200_000)
    hub.repos[REPO] = {"a.safetensors": data}
    with pytest.raises(Cancelled):
        fetch(hub, models, Listener(stop=8))
    assert not (models / "a.safetensors").exists()
    assert Catalogue(models, embedded=Path("/nonexistent")).entries() == []
    fetch(hub, models)
    assert (models / "a.safetensors").read_bytes() == data
    (part,) = hub.ranges()
    assert int(part.removeprefix("bytes=").partition("-")[0]) >= 1 << 16


def test_files_that_are_there_already_are_not_fetched_again(
    hub: FakeHub, models: Path, folder_files: dict[str, bytes]
) -> None:
    hub.repos[REPO] = folder_files
    with pytest.raises(Cancelled):
        fetch(hub, models, Listener(stop=14))
    before = [path for method, path, _ in hub.asked if method == "GET" and "resolve" in path]
    fetch(hub, models)
    again = [path for method, path, _ in hub.asked if method == "GET" and "resolve" in path]
    assert len(again) - len(before) < len(set(again))
    assert Catalogue(models, embedded=Path("/nonexistent")).get("tiny").problem == ""


def test_what_arrives_damaged_is_thrown_away(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"a.safetensors": weights()}
    hub.broken.add("a.safetensors")
    with pytest.raises(ModelError, match="arrived damaged"):
        fetch(hub, models)
    assert not (models / "a.safetensors").exists()
    hub.broken.clear()
    fetch(hub, models)
    assert (models / "a.safetensors").read_bytes() == weights()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model_index.json": b"{}", "pipeline.py": b""}, "takes no programs from repositories"),
        ({"model.ckpt": b"x"}, "pickles only"),
        ({"README.md": b"x"}, "It holds no model"),
        ({"a.safetensors": b"", "b.safetensors": b""}, "a.safetensors, b.safetensors; name the"),
        ({"model_index.json": b"{}", "unet/x.fp16.safetensors": b""}, "without plain safetensors"),
        ({"../up.safetensors": b"", "/etc/x.safetensors": b""}, "It holds no model"),
        ({f"{n:02}.safetensors": b"" for n in range(20)}, "and 12 more"),
    ],
)
def test_repositories_that_are_no_model(
    hub: FakeHub, models: Path, files: dict[str, bytes], words: str
) -> None:
    hub.repos[REPO] = files
    with pytest.raises(ModelError, match=r"someone/tiny cannot be taken\. It holds") as caught:
        fetch(hub, models)
    assert words in str(caught.value)
    assert not [path for method, path, _ in hub.asked if "resolve" in path]


def test_a_file_that_is_not_in_it(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"a.safetensors": b""}
    with pytest.raises(ModelError, match=r"holds no 'b\.safetensors'; it holds a\.safetensors"):
        fetch(hub, models, file="b.safetensors")


def test_a_gated_one_says_what_to_do(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"a.safetensors": b""}
    hub.gated.add(REPO)
    with pytest.raises(ModelError, match=r"is gated: accept its terms at http.*HF_TOKEN"):
        fetch(hub, models)


def test_one_that_is_not_there(hub: FakeHub, models: Path) -> None:
    with pytest.raises(ModelError, match="There is no public model someone/tiny"):
        fetch(hub, models)
    hub.repos[REPO] = {"a.safetensors": b""}
    with pytest.raises(ModelError, match="has no such revision"):
        fetch(hub, models, revision="other")


def test_without_a_network(models: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    request = DownloadRequest(repo=REPO)
    with pytest.raises(ModelError, match=r"could not be reached .*; check the network"):
        Hub(models, address)(request, Listener())


def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = {"a.safetensors": weights(1000)}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda path: usage(0, 0, 1_000_000))
    with pytest.raises(ModelError, match=r"needs 0\.0 GB, but only 0\.0 GB are free"):
        fetch(hub, models)
    assert not [path for method, path, _ in hub.asked if "resolve" in path]


def test_what_is_here_already_is_not_overwritten(hub: FakeHub, models: Path) -> None:
    hub.repos[REPO] = {"a.safetensors": weights()}
    models.mkdir()
    (models / "a.safetensors").write_bytes(b"mine")
    with pytest.raises(ModelError, match=r"There is a a\.safetensors in the models folder"):
        fetch(hub, models)
    assert (models / "a.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "fields",
    [
        {"repo": "tiny"},
        {"repo": "../tiny"},
        {"repo": "a/../b"},
        {"repo": "https://huggingface.co/a/b"},
        {"repo": REPO, "file": "../x.safetensors"},
        {"repo": REPO, "file": "/x.safetensors"},
        {"repo": REPO, "file": "x.ckpt"},
        {"repo": REPO, "revision": "a b"},
    ],
)
def test_names_that_are_none(fields: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        validated(DownloadRequest, fields)


# --- as a job -------------------------------------------------------------------------------------


def test_a_download_does_not_keep_pictures_waiting(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = {"a.safetensors": weights()}
    monkeypatch.setattr("studio.services.Hub", lambda root: Hub(root, hub.address))
    services = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="float32"))
    claimed: list[tuple[str, ...]] = []
    real = services.worker._jobs.claim_next
    monkeypatch.setattr(
        services.worker._jobs,
        "claim_next",
        lambda runner, kinds=(): (claimed.append(tuple(kinds)), real(runner, kinds))[1],
    )
    services.worker.start()
    services.fetcher.start()
    try:
        job = services.queue.submit(DownloadRequest(repo=REPO))
        *_, last = services.queue.follow(job)
        assert isinstance(last, Finished)
        assert services.queue.unended("download") == []
        (fetching,) = (kinds for kinds in set(claimed) if "download" in kinds)
        (pictures,) = (kinds for kinds in set(claimed) if "generate" in kinds)
        assert not set(fetching) & set(pictures)
        assert (tmp_path / "models" / "a.safetensors").exists()
    finally:
        services.stop()
