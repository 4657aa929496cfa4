"""Captions by a local model: which are listed and loaded, and what is written of a set."""

import json
import shutil

import pytest
from drawn_sets import draw_set, drawn
from tiny_captioners import WORDS, tiny_blip

from studio.context import ModelSpec
from studio.errors import Cancelled, ModelError, NotFound
from studio.models.captioners import CaptionerLoader, CaptionerShelf, load_captioner
from studio.models.devices import Device
from studio.models.drawers import Drawers
from studio.models.hashes import Hashes
from studio.models.manager import ModelManager
from studio.models.readers import ReaderShelf
from studio.models.slots import Footprint
from studio.training.pictures.captioning import Captioned, caption_set
from studio.training.pictures.editing import read_captions, undo


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    tiny_blip(models / "captioners" / "tiny blip")
    return models


@pytest.fixture
def models(blip, tmp_path):
    """A models folder of one's own with the captioner in it."""
    return shutil.copytree(blip, tmp_path / "models")


@pytest.fixture(scope="module")
def captioner(blip):
    return load_captioner(blip / "captioners" / "tiny blip")


def test_a_captioner_says_something_of_each_picture_and_the_same_again(captioner):
    images = [drawn(seed, (60, 40)) for seed in range(6)]
    said = captioner.caption(images)
    assert len(said) == 6
    assert len(set(said)) > 1
    assert all(set(text.split()) <= set(WORDS) for text in said)
    assert any(said)
    assert captioner.caption(images) == said
    assert captioner.caption([]) == []
    assert not captioner.network.training


def test_captioners_are_listed_and_are_nothing_else(models):
    shelf = CaptionerShelf(models)
    folder = models / "captioners"
    shutil.copytree(folder / "tiny blip", folder / "cut")
    weights = folder / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    shutil.copytree(folder / "tiny blip", folder / "pickled")
    (folder / "pickled" / "model.safetensors").rename(folder / "pickled" / "pytorch_model.bin")
    for name, config in (("bert", {"architectures": ["BertModel"]}), ("list", [1]), ("none", {})):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    (folder / "empty").mkdir()
    (folder / "a file").write_text("x")
    found = {entry.name: entry.problem for entry in shelf.entries()}
    assert found.pop("tiny blip") == ""
    assert "is damaged" in found["cut"]
    assert "no weights as .safetensors" in found["pickled"]
    assert "captions no pictures here" in found["bert"]
    assert sorted(found) == ["bert", "cut", "empty", "list", "none", "pickled"]
    assert all(found.values())
    assert shelf.usable("").name == "tiny blip"
    for name in ("cut", "pickled", "../x", "no", "empty"):
        with pytest.raises(ModelError):
            shelf.usable(name)
    assert CaptionerShelf(models / "nowhere").entries() == []
    assert ReaderShelf(models, Hashes(), models / "nothing embedded").entries() == []
    assert all(file.path.suffix != ".safetensors" for file in Drawers(models).files())


def test_a_captioner_that_lacks_weights_or_parts_is_told(models):
    from safetensors.torch import load_file, save_file

    folder = models / "captioners" / "tiny blip"
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "vision_model" in name)
    save_file(
        {name: value for name, value in weights.items() if name != gone},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match="is not whole"):
        load_captioner(folder)
    (folder / "processor_config.json").unlink()
    with pytest.raises(ModelError, match="could not be loaded"):
        load_captioner(folder)


def test_a_captioner_is_borrowed_like_any_model(models):
    device = Device("cpu", "CPU", "float32")
    loader = CaptionerLoader(CaptionerShelf(models), lambda: device)
    footprint = loader.estimate("tiny blip")
    assert isinstance(footprint, Footprint)
    manager = ModelManager({"captioner": loader}, budget=lambda: 10**9)
    with manager.borrow(ModelSpec("captioner", "tiny blip")) as model:
        assert len(model.caption([drawn()])) == 1
        assert footprint.held <= loader.measure(model) <= 1.2 * footprint.held
    assert loader.title("") == "tiny blip"


class Telling:
    """Says what it was asked, in place of a model."""

    def __init__(self):
        self.seen = []

    def caption(self, images):
        self.seen += [image.size for image in images]
        return [f"{image.width} wide\n" for image in images]


def test_pictures_without_a_caption_get_one_and_it_is_undone_at_once(tmp_path, captioner):
    files = {f"{number}.png": None for number in range(6)} | {"10_x/said.png": "by hand"}
    folder = draw_set(tmp_path / "set", files)
    (folder / "spoilt.png").write_bytes((folder / "0.png").read_bytes()[:50])
    told = []
    done = caption_set(folder, captioner, form="sks, {}", tell=lambda *each: told.append(each))
    assert (done.written, len(done.failed)) == (6, 1)
    assert "spoilt.png" in done.failed[0]
    said = read_captions(folder)
    assert said["10_x/said.png"] == "by hand"
    assert all(said[f"{number}.png"].startswith("sks,") for number in range(6))
    assert told[-1] == (7, 7)
    assert undo(folder) == 6


def test_chosen_pictures_and_those_with_captions_when_that_is_wanted(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": "x", "b.png": "y", "c.png": None}, (400, 800))
    model = Telling()
    assert caption_set(folder, model, names=["a.png"]) == Captioned(0)
    assert caption_set(folder, model, names=["b.png", "b.png"], replace=True) == Captioned(1)
    assert read_captions(folder) == {"a.png": "x", "b.png": "384 wide", "c.png": ""}
    assert model.seen == [(384, 768)]
    with pytest.raises(NotFound, match=r"no picture '\.\./a\.png'"):
        caption_set(folder, model, names=["../a.png"])


def test_what_was_made_before_it_was_taken_back_is_written(tmp_path):
    folder = draw_set(tmp_path / "set", {f"{number}.png": None for number in range(9)})
    checks = []

    def check():
        checks.append(1)
        if len(checks) > 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        caption_set(folder, Telling(), check=check)
    assert sum(map(bool, read_captions(folder).values())) == 4
