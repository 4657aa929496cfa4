"""LoRA files with real pipelines: every family wears them, and nobody else sees it."""

import gc
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import psutil
import pytest
import torch
from lora_files import CONVOLUTIONS, RANK, as_kohya, lora_file
from recorder import Studio, clean_environment
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, tiny_model

from studio.context import ModelSpec, Worn
from studio.diffusion.metadata import files
from studio.diffusion.networks_called import loras_of
from studio.errors import ModelError, RequestError
from studio.events import Notice
from studio.models.adapters import lora_hash
from studio.models.catalogue import Catalogue
from studio.models.devices import release_cached
from studio.services import build_services
from studio.settings import Settings

PROMPT = "a blue car"
TEXT = ("sd1", "sdxl")
"""Families whose LoRA here is also for a text encoder."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """All families, and for each a LoRA under "for-" and its key."""
    folder = tmp_path_factory.mktemp("loras")
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in FAMILIES:
        place = folder / "models" / key
        tiny_model(key, place, tokenizer)
        pipe = diffusers.DiffusionPipeline.from_pretrained(place)
        lora_file(pipe, folder / "models" / "loras" / f"for-{key}.safetensors", text=key in TEXT)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture
def shelf(studio: Studio) -> Iterator[Path]:
    """The folder of LoRAs, which is again as it was afterwards."""
    folder = studio.services.settings.data_dir / "models" / "loras"
    before = set(folder.iterdir())
    yield folder
    for path in set(folder.iterdir()) - before:
        path.unlink()


def asked(model: str, tags: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": PROMPT + tags,
        "sampler": "Euler",
        "steps": 3,
        "width": 64,
        "height": 64,
        **fields,
    }


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", FAMILIES)
def test_every_family_wears_a_lora_and_is_itself_again(studio: Studio, key: str) -> None:
    plain = studio.pixels(**asked(key))
    worn = studio.pixels(**asked(key, f"<lora:for-{key}:1>"))
    assert np.abs(plain.astype(int) - worn).mean() > 0.5
    assert np.array_equal(studio.pixels(**asked(key)), plain)
    half = studio.pixels(**asked(key, f"<lora:for-{key}:0.5>"))
    assert not np.array_equal(half, worn)
    assert np.array_equal(studio.pixels(**asked(key, f"<lora:for-{key}>")), worn)
    assert np.array_equal(studio.pixels(**asked(key, f"<lora:for-{key}:0>")), plain)


@pytest.mark.parametrize("key", FAMILIES)
def test_edits_wear_it_too(studio: Studio, key: str) -> None:
    source = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype="u1")
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:48, 16:48] = True
    for hole in (None, mask):
        made = [
            studio.edit(source, hole, strength=0.8, **asked(key, tags)).images[0]
            for tags in ("", f"<lora:for-{key}:1>")
        ]
        assert not np.array_equal(*made)


def test_nobody_else_sees_what_one_wears(studio: Studio) -> None:
    """Two people at once, one with a LoRA: each gets what they get alone."""
    tags = ("<lora:for-sd1:1>", "", "<lora:for-sd1:0.4>", "")
    alone = {each: studio.pixels(**asked("sd1", each, seed=11)) for each in set(tags)}

    def person(each: str) -> list[np.ndarray]:
        return [studio.pixels(**asked("sd1", each, seed=11)) for _ in range(4)]

    with ThreadPoolExecutor(len(tags)) as pool:
        for each, pictures in zip(tags, pool.map(person, tags), strict=True):
            assert all(np.array_equal(picture, alone[each]) for picture in pictures), each


def test_the_base_is_neither_loaded_again_nor_changed(studio: Studio) -> None:
    with studio.borrow("sdxl") as pipe:
        before = {name: tensor.clone() for name, tensor in pipe.unet.state_dict().items()}
        unet = pipe.unet
    studio.pixels(**asked("sdxl", "<lora:for-sdxl:1.5>"))
    with studio.borrow("sdxl") as pipe:
        assert pipe.unet is unet
        after = pipe.unet.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_several_at_once_add_up(studio: Studio, shelf: Path) -> None:
    """Half of one and half of its twin are the whole of it, in every weight's product."""
    twin = shelf / "twin.safetensors"
    twin.write_bytes((shelf / "for-sd1.safetensors").read_bytes())
    both = studio.pixels(**asked("sd1", "<lora:for-sd1:0.5><lora:twin:0.5>")).astype(int)
    whole = studio.pixels(**asked("sd1", "<lora:for-sd1:1>"))
    assert np.abs(both - whole).max() <= 2
    other = studio.pixels(**asked("sd1", "<lora:for-sd1:0.5>"))
    assert np.abs(both - other).mean() > 0.5


def test_kohyas_names_are_the_same_lora(studio: Studio, shelf: Path) -> None:
    as_kohya(shelf / "for-sd1.safetensors", shelf / "kohya.safetensors")
    made = studio.pixels(**asked("sd1", "<lora:kohya:1>"))
    expected = studio.pixels(**asked("sd1", "<lora:for-sd1:1>"))
    assert np.abs(made.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("key", ["sd1", "sdxl"])
def test_convolutions_are_worn_too(studio: Studio, shelf: Path, key: str) -> None:
    """A LoCon: what its convolutions add is the product of its matrices, and no more is left."""
    models = studio.services.settings.data_dir / "models"
    pipe = diffusers.DiffusionPipeline.from_pretrained(models / key)
    lora_file(pipe, shelf / "locon.safetensors", targets=CONVOLUTIONS, size=0.1)
    names = load_file(shelf / "locon.safetensors")
    assert any(".conv1.lora_A" in name and tensor.ndim == 4 for name, tensor in names.items())
    as_kohya(shelf / "locon.safetensors", shelf / "kohyas-locon.safetensors")
    plain = studio.pixels(**asked(key))
    worn = studio.pixels(**asked(key, "<lora:locon:1>"))
    kohyas = studio.pixels(**asked(key, "<lora:kohyas-locon:1>"))
    assert np.abs(worn.astype(int) - plain).mean() > 2
    assert np.abs(worn.astype(int) - kohyas).max() <= 1
    assert np.array_equal(studio.pixels(**asked(key)), plain)


def test_a_dora_is_not_worn_as_a_plain_lora(studio: Studio, shelf: Path) -> None:
    """Its magnitudes count: twice those that are would be another picture."""
    models = studio.services.settings.data_dir / "models"
    pipe = diffusers.DiffusionPipeline.from_pretrained(models / "sd1")
    lora_file(pipe, shelf / "plain.safetensors")
    as_kohya(shelf / "plain.safetensors", shelf / "kohya-plain.safetensors")
    tensors = load_file(shelf / "kohya-plain.safetensors")
    ups = {name: tensor for name, tensor in tensors.items() if name.endswith("lora_up.weight")}
    pictures = []
    for size in (1.0, 2.0):
        scales = {
            name.replace("lora_up.weight", "dora_scale"): torch.full((len(tensor), 1), size)
            for name, tensor in ups.items()
        }
        save_file(tensors | scales, shelf / "dora.safetensors")
        pictures.append(studio.pixels(**asked("sd1", "<lora:dora:1>")))
    pictures.append(studio.pixels(**asked("sd1", "<lora:kohya-plain:1>")))
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_a_dora_of_some_layers_is_refused(studio: Studio, shelf: Path) -> None:
    as_kohya(shelf / "for-sd1.safetensors", shelf / "dora.safetensors")
    tensors = load_file(shelf / "dora.safetensors")
    stem = next(iter(tensors)).partition(".")[0]
    save_file({**tensors, f"{stem}.dora_scale": torch.ones(4, 1)}, shelf / "dora.safetensors")
    with pytest.raises(ModelError, match=r"'dora' is a DoRA in some of its layers and not in"):
        studio.make(**asked("sd1", "<lora:dora:1>"))


def test_text_and_picture_have_strengths_of_their_own(studio: Studio) -> None:
    """As in AUTOMATIC1111: the first is the text encoders', the second the denoiser's."""
    tags = ("", "<lora:for-sd1:1:0>", "<lora:for-sd1:0:1>", "<lora:for-sd1:1:1>")
    made = [studio.pixels(**asked("sd1", each)) for each in tags]
    assert len({picture.tobytes() for picture in made}) == len(tags)
    assert np.array_equal(made[3], studio.pixels(**asked("sd1", "<lora:for-sd1:1>")))


# --- tags -----------------------------------------------------------------------------------------


def test_tags_are_read_as_the_field_writes_them(studio: Studio) -> None:
    shelf = studio.services.catalogue.loras
    text = "<lora:FOR-sd1:0.8> x <lyco:for-sd2:0.5:0.25> <lora:none:1> <hypernet:h:1>"
    found = [(each.name, each.strength, each.text_strength) for each in loras_of(text, shelf)]
    assert found == [("for-sd1", 0.8, 0.8), ("for-sd2", 0.25, 0.5)]
    (last,) = loras_of("<lora:for-sd1:1><lora:for-sd1:0.3>", shelf)
    assert (last.strength, last.text_strength) == (0.3, 0.3)


def test_what_is_not_installed_is_told_and_left_out(studio: Studio) -> None:
    made = studio.make(**asked("sd1", "<lora:nowhere:1><lora:for-sd1:0>"))
    told = [event.text for event in made.events if isinstance(event, Notice)]
    assert told == ["<lora:nowhere> was left out: no such network is installed."]
    assert np.array_equal(made.images[0], studio.pixels(**asked("sd1")))


@pytest.mark.parametrize("strength", ["much", "", "nan", "11", "-1e9", "inf"])
def test_a_strength_that_is_none_is_refused(studio: Studio, strength: str) -> None:
    with pytest.raises(RequestError, match=r"strength of LoRA 'for-sd1'") as caught:
        studio.make(**asked("sd1", f"<lora:for-sd1:{strength}>"))
    assert caught.value.field == "prompt"


@pytest.mark.parametrize(
    ("lora", "model", "words"),
    [
        ("for-sd2", "sd1", "is for Stable Diffusion 2, but sd1 is Stable Diffusion 1"),
        ("for-flux-dev", "sdxl", "is for FLUX.1, but sdxl is Stable Diffusion XL"),
        ("for-sd1", "sd3", "is for Stable Diffusion 1, but sd3 is Stable Diffusion 3"),
        ("for-sdxl", "sd1", "is for models with text states of 80 features, but sd1 is"),
    ],
)
def test_a_lora_for_another_family_is_refused_with_both_names(
    studio: Studio, lora: str, model: str, words: str
) -> None:
    with pytest.raises(ModelError) as caught:
        studio.make(**asked(model, f"<lora:{lora}:1>"))
    assert words in str(caught.value)


# --- files ----------------------------------------------------------------------------------------


def test_keys_of_no_model(studio: Studio, shelf: Path) -> None:
    save_file({"some.lora_A.weight": torch.zeros(4, 8)}, shelf / "odd.safetensors")
    plain = studio.pixels(**asked("sd1"))
    with pytest.raises(ModelError, match="'odd'"):
        studio.make(**asked("sd1", "<lora:odd:1>"))
    assert np.array_equal(studio.pixels(**asked("sd1")), plain)


def test_shapes_that_do_not_fit(studio: Studio, shelf: Path) -> None:
    weights = load_file(shelf / "for-sd1.safetensors")
    wide = {
        name: torch.zeros(RANK, tensor.shape[1] + 3)
        if name.endswith("lora_A.weight") and "attn1" in name
        else tensor
        for name, tensor in weights.items()
    }
    save_file(wide, shelf / "wide.safetensors")
    plain = studio.pixels(**asked("sd1"))
    with pytest.raises(ModelError, match="wide could not be put on sd1"):
        studio.make(**asked("sd1", "<lora:wide:1>"))
    assert np.array_equal(studio.pixels(**asked("sd1")), plain)


def test_a_loha_is_named(studio: Studio, shelf: Path) -> None:
    save_file({"lora_unet_x.hada_w1_a": torch.zeros(4, 8)}, shelf / "ha.safetensors")
    with pytest.raises(ModelError, match=r"LoRA 'ha' is a LoHa, which this studio does not apply"):
        studio.make(**asked("sd1", "<lora:ha:1>"))


def test_a_file_that_vanishes_after_submission(studio: Studio, shelf: Path) -> None:
    path = shelf / "gone.safetensors"
    path.write_bytes((shelf / "for-sd1.safetensors").read_bytes())
    worn = (Worn("gone", 1.0, 1.0),)
    path.unlink()
    spec = ModelSpec("diffusion", "sd1", "text2image", worn)
    with (
        pytest.raises(ModelError, match="'gone' is not installed"),
        studio.services.engine.models.borrow(spec),
    ):
        raise AssertionError("there is nothing to borrow")


def test_a_file_that_changed_is_read_anew(studio: Studio, shelf: Path) -> None:
    path = shelf / "mine.safetensors"
    path.write_bytes((shelf / "for-sd1.safetensors").read_bytes())
    before = studio.pixels(**asked("sd1", "<lora:mine:1>"))
    halved = {name: tensor / 2 for name, tensor in load_file(path).items()}
    save_file(halved, path)
    assert not np.array_equal(studio.pixels(**asked("sd1", "<lora:mine:1>")), before)


def test_the_picture_says_which_loras_made_it(studio: Studio) -> None:
    made = studio.make(**asked("sd1", ", <lora:for-sd1:0.7>"))
    (picture,) = made.pictures
    lora = studio.services.catalogue.loras.find("for-sd1")
    assert lora is not None
    assert f'Lora hashes: "for-sd1: {lora_hash(lora)}"' in picture.infotext
    assert len(lora_hash(lora)) == 12
    read = files.read(io.BytesIO(picture.data))
    assert read.fields["prompt"] == f"{PROMPT}, <lora:for-sd1:0.7>"


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_stays_over_two_hundred_changes(studio: Studio) -> None:
    """3 percent of all that the process holds, from the tenth change on."""
    models, process = studio.services.engine.models, psutil.Process()
    worn = ModelSpec("diffusion", "sd2", "text2image", (Worn("for-sd2", 1.0, 1.0),))
    plain = ModelSpec("diffusion", "sd2", "text2image")
    first = 0
    for change in range(200):
        with models.borrow(worn if change % 2 else plain):
            pass
        if change in (10, 199):
            gc.collect()
            release_cached(studio.services.engine.device())
            resident = process.memory_info().rss
            first = first or resident
    assert resident <= 1.03 * first
