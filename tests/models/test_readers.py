"""Readers on the shelf and in the model manager."""

import json
import shutil

import pytest
import torch
from tiny_readers import TEXT, make_reader

from studio.context import ModelSpec
from studio.errors import ModelError
from studio.models.hashes import Hashes
from studio.models.int8_linear import Int8Linear, quantise
from studio.models.readers import FULL, INT8, ReaderShelf, load_reader
from studio.reader.reading import Pair, reader_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_reader(tmp_path_factory.mktemp("readers") / "tiny")


@pytest.fixture
def shelf(tmp_path, tiny):
    shutil.copytree(tiny, tmp_path / "models" / "readers" / "tiny")
    return ReaderShelf(tmp_path / "models", Hashes(), tmp_path / "embedded")


def test_readers_are_found_wherever_they_lie(shelf, tmp_path, tiny):
    shutil.copytree(tiny, tmp_path / "embedded" / "small")
    shutil.copytree(tiny, tmp_path / "models" / "others" / "tiny")
    shutil.copytree(tiny, tmp_path / "models" / ".downloading" / "half")
    found = {entry.id: entry for entry in shelf.entries()}
    assert list(found) == ["small", "tiny", "readers/tiny"]
    assert found["small"].embedded
    assert not found["tiny"].embedded
    assert {entry.architecture for entry in found.values()} == {"BertForQuestionAnswering"}
    assert shelf.get("").id == "small", "what ships comes first"


def test_the_same_weights_have_the_same_sum(shelf, tmp_path, tiny):
    shutil.copytree(tiny, tmp_path / "models" / "copy")
    sums = {shelf.sha256(entry) for entry in shelf.entries()}
    assert len(sums) == 1
    assert len(sums.pop()) == 64


def _break_weights(folder):
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")


def _drop_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def _break_config(folder):
    (folder / "config.json").write_text("{")


def _empty_config(folder):
    (folder / "config.json").write_text("[]")


def _other_head(folder):
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_break_weights, "is damaged"),
        (_drop_tokenizer, "has no tokenizer"),
        (_break_config, "cannot be read"),
        (_empty_config, "is no object"),
        (_other_head, "BertForSequenceClassification, which has no question-answering head"),
    ],
)
def test_what_cannot_be_used_is_listed_with_the_reason(shelf, tmp_path, spoil, reason):
    spoil(tmp_path / "models" / "readers" / "tiny")
    (entry,) = shelf.entries()
    assert reason in entry.problem
    with pytest.raises(ModelError, match=reason):
        shelf.usable("tiny")


def test_pickles_are_not_opened(tmp_path, tiny):
    folder = shutil.copytree(tiny, tmp_path / "models" / "pickled")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert ReaderShelf(tmp_path / "models", Hashes(), tmp_path / "none").entries() == []
    with pytest.raises(ModelError, match="could not be loaded"):
        load_reader(folder)


def test_the_catalogue_of_pictures_does_not_list_readers(services, settings, tiny):
    shutil.copytree(tiny, settings.data_dir / "models" / "readers" / "tiny")
    assert "tiny" not in [entry.id for entry in services.catalogue.entries()]
    assert services.catalogue.files() == []
    item = next(
        item for item in services.library.items() if item.kind == "reader" and item.id == "tiny"
    )
    assert item.family == "BertForQuestionAnswering"
    assert item.place == "readers/tiny"


def test_a_reader_goes_to_the_trash_and_comes_back(services, settings, tiny):
    folder = settings.data_dir / "models" / "readers" / "tiny"
    shutil.copytree(tiny, folder)
    loan = services.engine.models.borrow(ModelSpec(FULL, "tiny"))
    with loan, pytest.raises(ModelError, match="in use"):
        services.library.throw_away("reader", "tiny")
    key = services.library.throw_away("reader", "tiny")
    assert not folder.exists()
    assert not [held for held in services.engine.models.held() if held.id == "tiny"]
    services.library.take_back(key)
    assert services.readers.usable("tiny").id == "tiny"


def test_one_reader_is_loaded_once_for_each_precision(services, settings, tiny):
    shutil.copytree(tiny, settings.data_dir / "models" / "tiny")
    models = services.engine.models
    with (
        models.borrow(ModelSpec(FULL, "tiny")) as first,
        models.borrow(ModelSpec(FULL, "tiny")) as second,
        models.borrow(ModelSpec(INT8, "tiny")) as rounded,
    ):
        assert first is second
        assert rounded is not first
        kinds = {type(part) for part in rounded.network.modules()}
        assert Int8Linear in kinds
    sizes = {held.kind: held.bytes for held in models.held()}
    assert 0 < sizes[INT8] < sizes[FULL]


def test_rounded_layers_are_close_to_the_layers_they_stand_for():
    torch.manual_seed(0)
    layer = torch.nn.Linear(384, 512)
    states = torch.randn(2, 30, 384)
    expected, made = layer(states), Int8Linear(layer)(states)
    assert made.shape == expected.shape
    error = (made - expected).norm() / expected.norm()
    assert 0 < error < 0.02


def test_rounding_leaves_the_head_and_the_answers_alone(tiny):
    loaded = load_reader(tiny)
    pairs = [Pair("Who built the bridge?", TEXT)]
    before = reader_of(loaded).read(pairs)[0]
    quantise(loaded.network)
    after = reader_of(loaded).read(pairs)[0]
    assert type(loaded.network.qa_outputs) is torch.nn.Linear
    assert after.margin == pytest.approx(before.margin, abs=0.5)
    assert after.spans[0].text == before.spans[0].text
