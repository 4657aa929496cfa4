"""Textual inversions: a word with the vectors of another word paints just what that one paints."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import Studio, clean_environment
from safetensors.torch import save_file
from tiny_models import tiny_model

from studio.diffusion.metadata import files
from studio.diffusion.tokens import count_for
from studio.diffusion.words import Words, with_words
from studio.errors import ModelError
from studio.events import Notice
from studio.models.catalogue import Catalogue
from studio.models.embeddings import FIRST_ID
from studio.services import build_services
from studio.settings import Settings

PROMPT = "a {} with a red hat"
KNOWN = "blue car"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Models with one text encoder and with two."""
    folder = tmp_path_factory.mktemp("words")
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in ("sd1", "sdxl", "sd3"):
        tiny_model(key, folder / "models" / key, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture
def studio(whole: Studio) -> Iterator[Studio]:
    yield whole
    for path in (whole.services.settings.data_dir / "models").glob("*.safetensors"):
        path.unlink()


def put(studio: Studio, word: str, tensors: dict[str, torch.Tensor]) -> Path:
    path = studio.services.settings.data_dir / "models" / f"{word}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def vectors(studio: Studio, model: str, text: str = KNOWN) -> list[torch.Tensor]:
    """What each text encoder of a model looks up for a text."""
    found = []
    with studio.borrow(model) as pipe:
        for tokenizer, encoder in (
            (pipe.tokenizer, pipe.text_encoder),
            *([(pipe.tokenizer_2, pipe.text_encoder_2)] if hasattr(pipe, "tokenizer_2") else []),
        ):
            ids = tokenizer(text, add_special_tokens=False).input_ids
            found.append(encoder.get_input_embeddings().weight[ids].detach().clone())
    return found


def asked(model: str, word: str, **fields: Any) -> dict[str, Any]:
    small = {"width": 64, "height": 64, "steps": 3, "sampler": "Euler"}
    return {"model": model, "prompt": PROMPT.format(word), **small, **fields}


def test_it_is_the_word_whose_vectors_it_has(studio: Studio) -> None:
    put(studio, "zzz", {"emb_params": vectors(studio, "sd1")[0]})
    expected = studio.pixels(**asked("sd1", KNOWN))
    assert np.array_equal(studio.pixels(**asked("sd1", "zzz")), expected)
    assert np.array_equal(studio.pixels(**asked("sd1", "ZZZ")), expected)
    assert not np.array_equal(studio.pixels(**asked("sd1", "zzzs")), expected)
    heavy = studio.pixels(**asked("sd1", f"({KNOWN}:1.4)"))
    assert np.array_equal(studio.pixels(**asked("sd1", "(zzz:1.4)")), heavy)


def test_diffusers_format_and_the_negative_prompt(studio: Studio) -> None:
    put(studio, "bad-hands", {"<bad>": vectors(studio, "sd1", "red")[0][0]})
    with_word, without = (
        studio.pixels(**asked("sd1", "cat", cfg_scale=5, negative_prompt=text))
        for text in ("bad-hands", "red")
    )
    assert np.array_equal(with_word, without)


def test_two_text_encoders_have_vectors_of_their_own(studio: Studio) -> None:
    first, second = vectors(studio, "sdxl")
    put(studio, "zzz", {"clip_l": first, "clip_g": second})
    expected = studio.pixels(**asked("sdxl", KNOWN))
    assert np.array_equal(studio.pixels(**asked("sdxl", "zzz")), expected)


def test_a_second_pass_reads_it_too(studio: Studio) -> None:
    put(studio, "zzz", {"emb_params": vectors(studio, "sd1")[0]})
    with_word, without = (
        studio.pixels(**asked("sd1", "cat", hires_scale=1.5, hires_prompt=text))
        for text in ("zzz", KNOWN)
    )
    assert np.array_equal(with_word, without)


@pytest.mark.parametrize("model", ["sdxl", "sd3"])
def test_one_for_another_model_is_read_as_a_word_and_told(studio: Studio, model: str) -> None:
    plain = studio.pixels(**asked(model, "zzz"))
    put(studio, "zzz", {"emb_params": torch.ones(2, 768)})
    made = studio.make(**asked(model, "zzz"))
    told = [event.text for event in made.events if isinstance(event, Notice)]
    assert told == ["The embedding 'zzz' is for Stable Diffusion 1 and was read as a plain word."]
    assert np.array_equal(made.images[0], plain)
    assert not [e for e in studio.make(**asked(model, "cat")).events if isinstance(e, Notice)]


def test_its_vectors_are_counted(studio: Studio) -> None:
    put(studio, "zzz", {"emb_params": torch.ones(7, 768)})
    entry = studio.services.catalogue.get("sd1")
    words = studio.services.catalogue.embeddings.ids(entry)
    plain = count_for(entry, "a , cat", 20).tokens
    assert count_for(entry, "a zzz, cat", 20, words=words).tokens == plain + 7


def test_a_long_one_starts_a_new_chunk(studio: Studio) -> None:
    put(studio, "zzz", {"emb_params": torch.randn(100, 768)})
    assert studio.pixels(**asked("sd1", "zzz")).std() > 5


def test_a_damaged_one_is_named(studio: Studio) -> None:
    path = put(studio, "zzz", {"emb_params": torch.ones(2, 768)})
    entry = next(iter(studio.services.catalogue.embeddings.entries()))
    data = path.read_bytes()
    path.write_bytes(data[:-8])
    with pytest.raises(ModelError, match="'zzz' could not be read"):
        entry.load()


@pytest.mark.parametrize(
    "tensors",
    [
        {"clip_l": torch.ones(2, 32), "clip_g": torch.ones(3, 48)},
        {"emb_params": torch.ones(2, 2, 2)},
    ],
)
def test_shapes_that_are_none(studio: Studio, tensors: dict[str, torch.Tensor]) -> None:
    put(studio, "zzz", tensors)
    assert studio.services.catalogue.embeddings.entries() == []


def test_the_picture_names_it(studio: Studio) -> None:
    put(studio, "zzz", {"emb_params": vectors(studio, "sd1")[0]})
    (picture,) = studio.make(**asked("sd1", "zzz")).pictures
    assert "TI hashes: zzz: " in picture.infotext.replace('"', "")
    read = files.read(io.BytesIO(picture.data))
    assert read.fields["prompt"] == PROMPT.format("zzz")


def test_another_thread_sees_nothing_of_it() -> None:
    encoder = torch.nn.Module()
    table = torch.nn.Embedding(4, 3)
    encoder.get_input_embeddings = lambda: table  # type: ignore[method-assign,assignment]
    words = Words({"x": range(FIRST_ID, FIRST_ID + 1)}, {FIRST_ID: (torch.full((3,), 9.0),)})
    given = torch.tensor([[0, 1]])
    seen: list[torch.Tensor] = []
    with words.spoken(encoder, 0, [0, FIRST_ID]):
        other = threading.Thread(target=lambda: seen.append(table(given)))
        other.start()
        other.join()
        mine = table(given)
    assert mine[0, 1].tolist() == [9, 9, 9]
    assert torch.equal(mine[0, 0], table.weight[0])
    assert torch.equal(seen[0], table(given))


def test_words_are_found_where_they_stand_alone() -> None:
    calls: list[str] = []

    def tokenize(text: str) -> list[int]:
        calls.append(text)
        return [len(text)]

    tokens = with_words(tokenize, {"ink": range(50, 52), "ink-wash": range(60, 61)})
    assert tokens("an ink-wash, INK, inkling") == [3, 60, 2, 50, 51, 9]
    assert tokens("nothing") == [7]
    assert tokens("ink") == [50, 51]
