"""What trained files say of themselves, as other tools and this studio read it."""

import base64
import io
import json
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from trained import NAME, asked, facts, lora_at, trained

from studio.errors import ModelError
from studio.models.catalogue import Catalogue
from studio.models.headers import read_header
from studio.training.export.card import model_card
from studio.training.export.embedding import write_embedding
from studio.training.export.facts import Facts, versions
from studio.training.export.lora import write_lora
from studio.training.export.metadata import (
    all_words,
    base_version,
    network_words,
    thumbnail,
)
from studio.training_requests import TrainRequest

TAGS = {"10_sks dog": {"sks dog": 5, "grass": 2}, "class": {"dog": 9}}
KOHYA = {
    *("ss_output_name", "ss_sd_model_name", "ss_sd_model_hash", "ss_new_sd_model_hash"),
    *("ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr", "ss_optimizer", "ss_lr_scheduler"),
    *("ss_lr_warmup_steps", "ss_num_train_images", "ss_num_reg_images", "ss_num_epochs"),
    *("ss_epoch", "ss_steps", "ss_max_train_steps", "ss_batch_size_per_device"),
    *("ss_total_batch_size", "ss_gradient_accumulation_steps", "ss_gradient_checkpointing"),
    *("ss_mixed_precision", "ss_resolution", "ss_enable_bucket", "ss_bucket_info"),
    *("ss_dataset_dirs", "ss_tag_frequency", "ss_clip_skip", "ss_seed", "ss_min_snr_gamma"),
    *("ss_noise_offset", "ss_cache_latents", "ss_training_started_at"),
    *("ss_training_finished_at", "ss_training_comment", "ss_session_id", "ss_v2"),
    *("ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha"),
    *("ss_network_args", "sshs_model_hash", "sshs_legacy_hash"),
}
SPEC = {
    *("sai_model_spec", "architecture", "implementation", "title", "resolution", "date"),
    *("prediction_type", "trigger_phrase", "tags", "thumbnail", "usage_hint"),
}


def picture(side: int = 300) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (side, side // 2), "green").save(stream, "PNG")
    return stream.getvalue()


def full() -> Facts:
    return facts(
        "sd1",
        base="Base v1",
        base_sha256="ab" * 32,
        base_legacy="1234abcd",
        tags=TAGS,
        folders={"10_sks dog": (10, 5)},
        buckets={(512, 512): 3, (576, 448): 2},
        hashes={"a.png": "cd" * 32},
        thumbnail=picture(),
        curve={"loss": 0.123456, "held-out loss": 0.2},
        batch=2,
        accumulation=3,
        processes=2,
        precision="bfloat16",
    )


def test_all_keys_are_there_and_strings(tmp_path: Path) -> None:
    place = write_lora(trained("sd1"), NAME, full(), tmp_path / "mine.safetensors")
    notes = read_header(place).metadata
    assert set(notes) >= KOHYA
    assert {f"modelspec.{key}" for key in SPEC} <= set(notes)
    assert json.loads(notes["ss_tag_frequency"]) == TAGS
    assert json.loads(notes["ss_dataset_dirs"]) == {"10_sks dog": {"n_repeats": 10, "img_count": 5}}
    assert json.loads(notes["ss_bucket_info"])["buckets"]["1"] == {
        "resolution": [576, 448],
        "count": 2,
    }
    assert notes["ss_total_batch_size"] == "12"
    assert notes["ss_mixed_precision"] == "bf16"
    assert (notes["ss_network_dim"], notes["ss_network_alpha"]) == ("4", "10")
    assert notes["ss_network_module"] == "networks.lora"
    assert json.loads(notes["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "10"}
    assert notes["modelspec.trigger_phrase"] == "sks dog"
    assert "loss 0.1235" in notes["ss_training_comment"]
    assert notes["ss_training_started_at"] == "1700000000.000000"


def test_the_studio_knows_what_it_wrote(tmp_path: Path) -> None:
    place = write_lora(trained("sd1"), NAME, full(), tmp_path / "mine.safetensors")
    catalogue = Catalogue(tmp_path, embedded=Path("/nonexistent"))
    (found,) = catalogue.loras.entries()
    assert (found.name, found.problem, found.family) == ("mine", "", "Stable Diffusion 1")
    assert found.triggers == ("sks dog",)
    assert found.facts.base == "Base v1"
    assert found.facts.hash == lora_at(place).facts.hash
    shown = found.picture()
    assert shown is not None
    assert Image.open(io.BytesIO(shown)).size == (256, 128)


@pytest.mark.parametrize(
    ("family", "velocity", "version", "second"),
    [
        ("sd1", False, "sd_v1", "False"),
        ("sd1-inpaint", False, "sd_v1", "False"),
        ("sd2", False, "sd_v2", "True"),
        ("sd2", True, "sd_v2_v", "True"),
        ("sdxl", False, "sdxl_base_v1-0", "False"),
        ("sdxl", True, "sdxl_base_v1-0", "False"),
        ("sdxl-refiner", False, "sdxl_refiner", "False"),
        ("sd3", False, "sd3", "False"),
        ("flux-dev", False, "flux1", "False"),
        ("flux-schnell", False, "flux1", "False"),
    ],
)
def test_the_base_as_readers_tell_it(
    family: str, velocity: bool, version: str, second: str
) -> None:
    """AUTOMATIC1111 asks for a beginning of "sdxl_" and for ss_v2; all else is version 1 to it."""
    words = all_words(facts(family, velocity=velocity), "lora")
    assert base_version(family, velocity=velocity) == version
    assert (words["ss_base_model_version"], words["ss_v2"]) == (version, second)
    assert words["modelspec.architecture"].endswith("/lora")
    flow = family in ("sd3", "flux-dev", "flux-schnell")
    kind = "v" if velocity else "epsilon"
    assert words.get("modelspec.prediction_type") == (None if flow else kind)


def test_a_dora_says_so() -> None:
    words = network_words((8, 8.0), (4, 2.0), dora=True)
    assert words["ss_network_module"] == "lycoris.kohya"
    told = json.loads(words["ss_network_args"])
    assert (told["dora_wd"], told["conv_dim"], told["conv_alpha"]) == ("True", "4", "2")


def test_many_tags_stay_few() -> None:
    tags = {"a": {f"tag {number}": number for number in range(5000)}, "b": {"other": 9999}}
    kept = json.loads(all_words(facts("sd1", tags=tags))["ss_tag_frequency"])
    assert kept["b"] == {"other": 9999}
    assert len(kept["a"]) == 1999
    assert min(kept["a"].values()) == 3001


@pytest.mark.parametrize("junk", [b"", b"no picture", picture()[:60]])
def test_a_thumbnail_that_is_none(junk: bytes) -> None:
    assert thumbnail(junk) == ""


def test_a_thumbnail_is_small() -> None:
    uri = thumbnail(picture(2000))
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(base64.b64decode(uri.partition(",")[2])) < 10_000


# --- embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "widths"), [("sd1", (768,)), ("sdxl", (768, 1280))])
def test_a_new_word_is_read_again(family: str, widths: tuple[int, ...], tmp_path: Path) -> None:
    vectors = [torch.randn(3, width) for width in widths]
    place = write_embedding(vectors, facts(family), tmp_path / "sks-dog.safetensors")
    (found,) = Catalogue(tmp_path, embedded=Path("/nonexistent")).embeddings.entries()
    assert (found.word, found.vectors, found.widths) == ("sks-dog", 3, widths)
    for mine, read in zip(vectors, found.load(), strict=True):
        assert torch.equal(mine, read)
    names = ["emb_params"] if len(widths) == 1 else ["clip_g", "clip_l"]
    assert sorted(load_file(place)) == names
    kind = read_header(place).metadata["modelspec.architecture"]
    assert kind.endswith("/textual-inversion")


def test_vectors_of_no_word(tmp_path: Path) -> None:
    for shapes in ((), ((3,),), ((3, 4), (2, 4)), ((1, 4), (1, 4), (1, 4))):
        with pytest.raises(ModelError, match="are no textual inversion"):
            write_embedding([torch.zeros(s) for s in shapes], facts("sd1"), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# --- the card -------------------------------------------------------------------------------------


def test_the_card_says_what_is_known() -> None:
    text = model_card(full())
    for words in (
        "Base v1",
        "sks dog",
        "<lora:mine:1>",
        "ab" * 32,
        "cd" * 32,
        "0.12346",
        "576x448",
    ):
        assert words in text
    assert "licence of the base model is unknown" in text
    assert all(number in text for number in versions().values())
    licensed = model_card(facts("sd1", licence="openrail++"))
    assert "unknown" not in licensed
    assert 'license: "openrail++"' in licensed


def test_its_settings_are_a_toml_file_of_the_request() -> None:
    request = asked(
        prompt='a "photo" of\tsks \\ dog\n',
        dora=True,
        conv_alpha=2.5,
        sample_prompts=("one", "zwei ü"),
    )
    card = model_card(Facts(request, "sd1"))
    told = tomllib.loads(card.partition("```toml\n")[2].partition("```")[0])
    fields = {name: value for name, value in told.items() if not isinstance(value, dict)}
    tables = [name for name, value in told.items() if isinstance(value, dict)]
    assert tables == ["pictures", "prior", "shape", "learning", "watching"]
    for name in tables:
        fields |= told[name]
    assert TrainRequest(**fields) == request


def test_a_card_of_a_whole_model_and_of_a_word() -> None:
    full_run = Facts(asked(method="full"), "sdxl", triggers=())
    assert "A whole model made from an unnamed model (stable-diffusion-xl" in model_card(full_run)
    word = Facts(asked(method="textual-inversion", trigger="sks"), "sd1", triggers=("sks",))
    assert "A textual inversion made" in model_card(word)
    many = facts("sd1", hashes={f"{n}|x.png": "00" for n in range(300)})
    assert "And 100 more." in model_card(many)
