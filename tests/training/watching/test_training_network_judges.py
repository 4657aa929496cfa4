"""CLIP and DINO as judges, on tiny models of random weights, against transformers itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from studio.errors import DataError, ModelError
from studio.models.torchvision_guard import install
from studio.training.watching.judge import FOLDER, installed

install()
import transformers as tf  # noqa: E402

TOKENIZER = Path(__file__).resolve().parents[3] / "assets" / "tokenizers" / "clip"
TINY = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def clip(folder: Path, width: int = 32) -> Path:
    torch.manual_seed(0)
    words = tf.CLIPTokenizer.from_pretrained(TOKENIZER)
    seen = {**TINY, "hidden_size": width, "image_size": 32, "patch_size": 8}
    told = {
        **TINY,
        "vocab_size": len(words),
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    config = tf.CLIPConfig(text_config=told, vision_config=seen, projection_dim=24)
    tf.CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    kind = "CLIPImageProcessor"
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": kind, **size})
    )
    return folder


def dino(folder: Path, kind: str = "Dinov2") -> Path:
    torch.manual_seed(1)
    config = getattr(tf, f"{kind}Config")(**TINY, image_size=32, patch_size=8)
    getattr(tf, f"{kind}Model")(config).save_pretrained(folder)
    size = {"size": {"height": 32, "width": 32}, "image_processor_type": "ViTImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    clip(root / FOLDER / "tiny-clip")
    dino(root / FOLDER / "tiny-dino")
    dino(root / FOLDER / "tiny-vit", "ViT")
    return root


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, size, dtype="u1").repeat(8, 0).repeat(8, 1))
        for size in ((6, 5, 3), (4, 9, 3), (8, 8, 3), (5, 5, 3))
    ]


def test_those_that_see_best_stand_first_and_the_studios_own_last(data):
    names = [judge.name for judge in installed(data)]
    assert names == [
        "DINO-I by tiny-dino, CLIP-T by tiny-clip",
        "DINO-I by tiny-vit, CLIP-T by tiny-clip",
        "CLIP-I by tiny-clip, CLIP-T by tiny-clip",
        "the studio's judge of drawings",
    ]
    assert [judge.same_subject is None for judge in installed(data)] == [True] * 3 + [False]


def test_large_models_stand_before_small_ones(tmp_path):
    clip(tmp_path / FOLDER / "a")
    clip(tmp_path / FOLDER / "b", width=64)
    assert [judge.name[:11] for judge in installed(tmp_path)[:2]] == ["CLIP-I by b", "CLIP-I by a"]


def unit(rows: torch.Tensor) -> np.ndarray:
    return (rows / rows.norm(dim=-1, keepdim=True)).detach().numpy()


def test_dino_i_is_the_mean_cosine_of_all_pairs(data, images):
    folder = data / FOLDER / "tiny-dino"
    pixels = tf.ViTImageProcessorPil.from_pretrained(folder)(images, return_tensors="pt")
    with torch.inference_mode():
        hidden = tf.Dinov2Model.from_pretrained(folder).eval()(**pixels).last_hidden_state
    rows = unit(hidden[:, 0])
    found = installed(data)[0].subject(images[:2], images[2:])
    assert found == pytest.approx((rows[:2] @ rows[2:].T).mean(1), abs=1e-5)
    alike = installed(data)[0].alike(images, images)
    assert np.diag(alike) == pytest.approx(np.ones(4), abs=1e-5)


def test_clip_i_and_clip_t_are_clips_own_cosines(data, images):
    folder = data / FOLDER / "tiny-clip"
    prompts = ["a red cat", "a dog " * 200]
    pixels = tf.CLIPImageProcessorPil.from_pretrained(folder)(images, return_tensors="pt")
    tokens = tf.CLIPTokenizer.from_pretrained(folder)(
        prompts, padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        made = tf.CLIPModel.from_pretrained(folder).eval()(**tokens, **pixels)
    seen, told = unit(made.image_embeds), unit(made.text_embeds)
    judge = installed(data)[2]
    assert judge.subject(images[:1], images[1:]) == pytest.approx(
        (seen[:1] @ seen[1:].T).mean(1), abs=1e-5
    )
    assert judge.prompt(images[:2], prompts) == pytest.approx((seen[:2] * told).sum(1), abs=1e-5)


def test_an_empty_prompt_has_no_score(data, images):
    assert installed(data)[0].prompt(images[:2], ["", "  "]) == [None, None]
    assert installed(data)[0].prompt([], []) == []


def test_a_dino_alone_reads_no_prompts(tmp_path, images):
    dino(tmp_path / FOLDER / "alone")
    judge = installed(tmp_path)[0]
    assert judge.name == "DINO-I by alone"
    assert judge.prompt(images[:2], ["a cat", "a dog"]) == [None, None]
    with pytest.raises(DataError, match="no training pictures"):
        judge.subject(images, [])


def test_folders_that_are_no_judges_are_left_out(tmp_path, caplog):
    root = tmp_path / FOLDER
    for name, config in (
        ("bert", '{"model_type": "bert"}'),
        ("broken", "{"),
        ("list", "[]"),
        ("pickle", '{"model_type": "vit"}'),
    ):
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text(config)
    (root / "pickle" / "pytorch_model.bin").write_bytes(b"no")
    assert len(installed(tmp_path)) == 1
    assert "no weights in safetensors" in caplog.text
    assert "it is a bert model" in caplog.text


def test_damaged_weights_are_told_when_they_are_used(tmp_path, images):
    folder = dino(tmp_path / FOLDER / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ModelError, match="The judge cut cannot be loaded"):
        installed(tmp_path)[0].subject(images[:1], images[1:])
