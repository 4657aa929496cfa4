"""The library: what there is, notes, checks, the default model and the trash."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studio.context import ModelSpec
from studio.errors import ModelError, OutOfMemory, StorageError
from studio.models.broker import Holder
from studio.models.library import Library
from studio.services import Services, build_services
from studio.settings import Settings

KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    built = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="float32"))
    yield built
    built.stop()


@pytest.fixture
def library(services: Services) -> Library:
    return services.library


@pytest.fixture
def root(services: Services) -> Path:
    return services.settings.data_dir / "models"


@pytest.fixture
def mine(root: Path, embedded: Path) -> str:
    """A copy of the embedded model as an own one."""
    (root / "mine").mkdir()
    for path in embedded.rglob("*"):
        target = root / "mine" / path.relative_to(embedded)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
    return "mine"


def whole(steps: Iterator[tuple[float, str]], told: Callable[[float], None]) -> str:
    """Runs a check to its end; told: hears the share that is done."""
    sentence = ""
    for share, last in steps:
        told(share)
        sentence = last
    return sentence


def put(root: Path, name: str, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    path = root / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors or {KEY: torch.zeros(4, 768)}, path)
    return path


# --- what there is --------------------------------------------------------------------------------


def test_everything_is_listed_by_what_it_is(
    library: Library, services: Services, root: Path, embedded_id: str
) -> None:
    put(root, "odd/place/style")
    put(root, "word", {"emb_params": torch.zeros(2, 1024)})
    put(root, "upscalers/sharp", {"body.0.weight": torch.zeros(2)})
    put(root, "thing", {"x": torch.zeros(2)})
    (root / "old.ckpt").write_bytes(b"x")
    (root / "cut.safetensors").write_bytes(b"x")
    found = {(item.kind, item.id): item for item in library.items()}
    assert set(found) == {
        ("model", embedded_id),
        ("reader", services.readers.get("").id),
        ("model", "old"),
        ("model", "cut"),
        ("LoRA", "odd/place/style.safetensors"),
        ("embedding", "word.safetensors"),
        ("upscaler", "upscalers/sharp.safetensors"),
        ("other", "thing.safetensors"),
    }
    lora = found["LoRA", "odd/place/style.safetensors"]
    assert (lora.title, lora.family, lora.place) == (
        "style",
        "Stable Diffusion 1",
        "odd/place/style.safetensors",
    )
    assert found["embedding", "word.safetensors"].family == "Stable Diffusion 2"
    assert "pickle" in found["model", "old"].problem
    assert found["model", embedded_id].embedded
    assert next(iter(found)) == ("model", embedded_id)


def test_what_is_not_here_any_more(library: Library, root: Path) -> None:
    path = put(root, "style")
    path.unlink()
    for act in (
        lambda: library.get("LoRA", "style.safetensors"),
        lambda: library.describe("LoRA", "style.safetensors", "", ""),
        lambda: library.throw_away("LoRA", "../../etc/passwd"),
        lambda: library.take_back("../.."),
    ):
        with pytest.raises(ModelError, match="any more"):
            act()


# --- memory and the default -----------------------------------------------------------------------


def test_a_model_is_loaded_and_unloaded(
    library: Library, services: Services, embedded_id: str
) -> None:
    library.load(embedded_id)
    assert [held.id for held in services.engine.models.held()] == [embedded_id]
    library.unload("model", embedded_id)
    assert services.engine.models.held() == []
    library.unload("model", embedded_id)


def test_nothing_is_loaded_while_somebody_has_the_device_alone(
    library: Library, services: Services, embedded_id: str
) -> None:
    with (
        services.engine.broker.lease(Holder("a training"), alone=True),
        pytest.raises(ModelError, match="a training has the device alone"),
    ):
        library.load(embedded_id)
    assert services.engine.models.held() == []


def test_a_load_does_not_wait_for_room(
    library: Library, services: Services, mine: str, embedded_id: str
) -> None:
    """Whoever pressed the button would stare at it until a job somewhere has ended."""
    models = services.engine.models
    with models.borrow(ModelSpec("diffusion", embedded_id)):
        size = models.held()[0].bytes
        models._budget = lambda: size + 10**6  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as pool, pytest.raises(OutOfMemory, match="held by"):
            pool.submit(library.load, mine).result(20)


def test_a_model_in_use_stays(library: Library, services: Services, mine: str) -> None:
    with services.engine.models.borrow(ModelSpec("diffusion", mine)):
        for act in (
            lambda: library.unload("model", mine),
            lambda: library.throw_away("model", mine),
        ):
            with pytest.raises(ModelError, match="in use by a running job"):
                act()
    assert services.catalogue.usable(mine)


def test_the_default_outlives_the_server(
    library: Library, services: Services, mine: str, embedded_id: str
) -> None:
    assert services.catalogue.get("").id == embedded_id
    library.make_default(mine)
    assert services.catalogue.get("").id == mine
    settings = Settings(data_dir=services.settings.data_dir, device="cpu")
    again = build_services(settings)
    assert again.catalogue.get("").id == mine
    library.throw_away("model", mine)
    third = build_services(settings)
    assert third.catalogue.get("").id == embedded_id
    for each in (again, third):
        each.stop()


def test_a_default_that_a_setting_names_stays(tmp_path: Path, embedded_id: str) -> None:
    settings = Settings(data_dir=tmp_path, device="cpu", default_model=embedded_id)
    built = build_services(settings)
    with pytest.raises(ModelError, match="ATELIER_DEFAULT_MODEL"):
        built.library.make_default(embedded_id)
    built.stop()


def test_a_damaged_model_is_no_default(library: Library, root: Path) -> None:
    (root / "old.ckpt").write_bytes(b"x")
    with pytest.raises(ModelError, match="pickle"):
        library.make_default("old")


# --- notes ----------------------------------------------------------------------------------------


def test_notes_stand_beside_the_file_as_others_keep_them(library: Library, root: Path) -> None:
    put(root, "style")
    (root / "style.json").write_text('{"preferred weight": 0.6, "notes": "old"}')
    library.describe("LoRA", "style.safetensors", " for portraits\n", "sks, ink ")
    kept = json.loads((root / "style.json").read_text())
    assert kept == {
        "preferred weight": 0.6,
        "notes": "for portraits",
        "activation text": "sks, ink",
    }
    item = library.get("LoRA", "style.safetensors")
    assert (item.notes, item.triggers) == ("for portraits", "sks, ink")


def test_notes_on_a_folder(library: Library, mine: str, embedded_id: str) -> None:
    library.describe("model", mine, "good", "")
    assert library.get("model", mine).notes == "good"
    with pytest.raises(ModelError, match="ships with the studio"):
        library.describe("model", embedded_id, "mine now", "")


def test_a_folder_that_cannot_be_written(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "style")

    def refuse(*_args: object, **_fields: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StorageError, match="keep the notes on style"):
        library.describe("LoRA", "style.safetensors", "x", "")


# --- checks ---------------------------------------------------------------------------------------


def test_a_check_tells_whether_a_file_is_what_it_was(library: Library, root: Path) -> None:
    path = put(root, "style")
    key = ("LoRA", "style.safetensors")
    shares: list[float] = []
    assert "kept for the next time" in whole(library.verify(*key), shares.append)
    assert shares[-1] == 1
    assert "is whole and the same as on" in whole(library.verify(*key), shares.append)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "style.safetensors changed" in whole(library.verify(*key), shares.append)
    path.write_bytes(data[:-1])
    with pytest.raises(ModelError, match="any more"):
        whole(library.verify(*key), shares.append)


def test_a_folder_is_checked_file_by_file(library: Library, mine: str, root: Path) -> None:
    shares: list[float] = []
    whole(library.verify("model", mine), shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 3
    vae = next((root / mine / "vae").glob("*.safetensors"))
    vae.write_bytes(vae.read_bytes()[:-1])
    with pytest.raises(ModelError, match="cut off"):
        whole(library.verify("model", mine), shares.append)


# --- trash ----------------------------------------------------------------------------------------


def test_what_is_thrown_away_comes_back_with_all_that_belongs_to_it(
    library: Library, root: Path
) -> None:
    put(root, "deep/style")
    for suffix in (".json", ".preview.png", ".toml"):
        (root / "deep" / f"style{suffix}").write_text("{}")
    (root / "deep" / "styles.json").write_text("not its own")
    key = library.throw_away("LoRA", "deep/style.safetensors")
    assert [path.name for path in (root / "deep").iterdir()] == ["styles.json"]
    assert [item.kind for item in library.items() if not item.embedded] == []
    (entry,) = library.thrown_away()
    assert (entry.key, entry.title, entry.place) == (key, "style", "deep/style.safetensors")
    library.take_back(key)
    assert len(list((root / "deep").iterdir())) == 5
    assert library.get("LoRA", "deep/style.safetensors").title == "style"
    assert library.thrown_away() == []


def test_a_loaded_folder_goes_and_comes_back(
    library: Library, services: Services, mine: str
) -> None:
    library.load(mine)
    key = library.throw_away("model", mine)
    assert services.engine.models.held() == []
    with pytest.raises(ModelError, match="not installed"):
        services.catalogue.usable(mine)
    library.take_back(key)
    assert services.catalogue.usable(mine)


def test_nothing_is_overwritten_on_the_way_back(library: Library, root: Path) -> None:
    put(root, "style")
    key = library.throw_away("LoRA", "style.safetensors")
    other = put(root, "style", {KEY: torch.ones(4, 768)}).read_bytes()
    with pytest.raises(ModelError, match=r"there is another style\.safetensors where it was"):
        library.take_back(key)
    assert (root / "style.safetensors").read_bytes() == other
    assert len(library.thrown_away()) == 1


def test_notes_that_were_written_since_are_not_overwritten(library: Library, root: Path) -> None:
    put(root, "style")
    (root / "style.json").write_text('{"notes": "old"}')
    key = library.throw_away("LoRA", "style.safetensors")
    (root / "style.json").write_text('{"notes": "new"}')
    with pytest.raises(ModelError, match=r"there is another style\.json"):
        library.take_back(key)
    assert "new" in (root / "style.json").read_text()
    assert not (root / "style.safetensors").exists()


def test_what_cannot_be_moved_is_known_in_the_trash(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk between the file and its notes hides neither."""
    put(root, "style")
    (root / "style.json").write_text("{}")
    real, moved = shutil.move, []

    def move(source: Path, target: Path) -> object:
        if moved:
            raise OSError(28, "full")
        moved.append(source)
        return real(source, target)

    monkeypatch.setattr(shutil, "move", move)
    with pytest.raises(StorageError, match="disk is full"):
        library.throw_away("LoRA", "style.safetensors")
    (entry,) = library.thrown_away()
    assert entry.title == "style"


def test_what_ships_stays(library: Library, embedded_id: str) -> None:
    with pytest.raises(ModelError, match="ships with the studio"):
        library.throw_away("model", embedded_id)


def test_what_lies_in_the_trash_is_deleted_for_good(
    library: Library, root: Path, services: Services
) -> None:
    keys = [library.throw_away("LoRA", put(root, name).name) for name in ("a", "b")]
    library.delete(keys[0])
    assert [entry.key for entry in library.thrown_away()] == [keys[1]]
    assert len(list((services.settings.data_dir / "trash" / "models").iterdir())) == 1
    for gone in (keys[0], "../.."):
        with pytest.raises(ModelError, match="any more"):
            library.delete(gone)
