"""Single files in original layouts: what their headers tell, and that they load as they were."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import init_empty_weights
from loading import catalogue_of, loader, problem
from original_files import KEYS, single_file, text_encoder_file, tiny_pipeline, vae_file
from original_names import NAMES
from safetensors.torch import load_file, save_file

from studio.errors import ModelError
from studio.models.headers import HeaderError, Shapes, read_header, read_numbers
from studio.models.originals import architecture
from studio.models.originals.load import flux_names
from studio.requests import Sampler


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all kinds of models, each in one file named by its family's key."""
    folder = tmp_path_factory.mktemp("single") / "models"
    folder.mkdir()
    for key in KEYS:
        single_file(tiny_pipeline(key), folder / f"{key}.safetensors")
    return folder


def networks(pipe: Any) -> Iterator[tuple[str, Any]]:
    return ((n, c) for n, c in pipe.components.items() if isinstance(c, torch.nn.Module))


# --- the same model -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_a_single_file_is_the_same_model_as_the_folder(shelf: Path, key: str) -> None:
    expected, loading = tiny_pipeline(key), loader(shelf)
    pipe = loading.load(key)
    assert type(pipe) is type(expected)
    assert {n for n, _ in networks(pipe)} == {n for n, _ in networks(expected)}
    for name, network in networks(expected):
        assert type(pipe.components[name]) is type(network)
        found = pipe.components[name].state_dict()
        state = network.state_dict()
        assert set(found) == set(state)
        assert all(torch.equal(found[tensor], state[tensor]) for tensor in state), name
    for name, tokenizer in expected.components.items():
        if name.startswith("tokenizer") and tokenizer is not None:
            for text in ("a blue car, (with) a HAT!", ""):
                options = {"padding": "max_length", "max_length": 77}
                mine = pipe.components[name](text, **options).input_ids
                assert mine == tokenizer(text, **options).input_ids, name
    # What was estimated before is the weights and a tenth, and one layer that one family leaves.
    assert 0.98 < loading.estimate(key).held / 1.1 / loading.measure(pipe) < 1.2


@pytest.mark.parametrize("key", KEYS)
def test_what_the_catalogue_says_of_it(shelf: Path, key: str) -> None:
    catalogue = catalogue_of(shelf)
    entry = catalogue.get(key)
    assert (entry.family.key, entry.title, entry.problem) == (key, key, "")
    assert entry.bytes == (shelf / f"{key}.safetensors").stat().st_size
    assert len(catalogue.hash(entry)) == 10
    assert entry.tokenizer(entry.family.counted).is_dir()


# --- the published models' configurations ---------------------------------------------------------

XL = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
REFINER = {
    "sample_size": 128,
    "block_out_channels": [384, 768, 1536, 1536],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "transformer_layers_per_block": [1, 4, 4, 4],
    "attention_head_dim": [6, 12, 24, 24],
    "use_linear_projection": True,
    "cross_attention_dim": 1280,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2560,
}
FIRST = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "transformer_layers_per_block": [1, 1, 1, 1],
    "attention_head_dim": 8,
    "use_linear_projection": False,
    "cross_attention_dim": 768,
}
SECOND = FIRST | {
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "cross_attention_dim": 1024,
}
MEDIUM = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
    "qk_norm": None,
    "dual_attention_layers": [],
}
MEDIUM_35 = MEDIUM | {
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
    "dual_attention_layers": list(range(13)),
}
LARGE_35 = MEDIUM | {
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "qk_norm": "rms_norm",
}
DEV = {
    "in_channels": 64,
    "out_channels": 64,
    "patch_size": 1,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "sample_size": 1024,
    "scaling_factor": 0.5,
    "shift_factor": None,
}
UNET = {"in_channels": 4, "out_channels": 4}


@pytest.mark.parametrize(
    ("kind", "network", "config", "read"),
    [
        ("unet", "UNet2DConditionModel", FIRST | UNET, lambda s: architecture.unet(s, 64)),
        ("unet", "UNet2DConditionModel", SECOND | UNET, lambda s: architecture.unet(s, 64)),
        ("unet", "UNet2DConditionModel", XL | UNET, lambda s: architecture.unet(s, 128)),
        ("unet", "UNet2DConditionModel", REFINER | UNET, lambda s: architecture.unet(s, 128)),
        ("sd3", "SD3Transformer2DModel", MEDIUM, architecture.sd3),
        ("sd3", "SD3Transformer2DModel", MEDIUM_35, architecture.sd3),
        ("sd3", "SD3Transformer2DModel", LARGE_35, architecture.sd3),
        ("flux", "FluxTransformer2DModel", DEV, architecture.flux),
        ("vae", "AutoencoderKL", VAE, lambda s: architecture.vae(s, 0.5, None)),
    ],
    ids=["1.5", "2", "XL", "refiner", "3", "3.5-medium", "3.5-large", "FLUX", "VAE"],
)
def test_the_published_configurations_are_found_from_shapes_alone(
    kind: str, network: str, config: dict, read: Any
) -> None:
    """Networks of full size without numbers; the configurations are those on the hub."""
    with init_empty_weights(include_buffers=True):
        full = getattr(diffusers, network).from_config(config)
        names = NAMES[kind](full)
    found = read(Shapes({name: tuple(tensor.shape) for name, tensor in names.items()}))
    assert found == {"_class_name": network} | config


def test_fluxs_names_are_those_that_diffusers_gives_the_published_width() -> None:
    from diffusers.loaders.single_file_utils import (
        convert_flux_transformer_checkpoint_to_diffusers as convert,
    )

    with init_empty_weights():
        full = diffusers.FluxTransformer2DModel.from_config(
            DEV | {"num_layers": 1, "num_single_layers": 1}
        )
    shapes = {name: tensor.shape for name, tensor in NAMES["flux"](full).items()}
    # One column of each matrix tells as well which rows go where.
    weights = {n: torch.randn(s[:1] + (1,) * (len(s) - 1)) for n, s in shapes.items()}
    expected = convert(dict(weights))
    found = flux_names(dict(weights))
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


# --- velocity -------------------------------------------------------------------------------------

TELLS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


@pytest.mark.parametrize(
    ("spread", "kind", "side"), [(0.2, "v_prediction", 192), (0.01, "epsilon", 128)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_stable_diffusion_2_that_predicts_velocity_is_known_by_its_spread(
    models: Path, shelf: Path, spread: float, kind: str, side: int, dtype: torch.dtype
) -> None:
    weights = load_file(shelf / "sd2.safetensors")
    torch.manual_seed(1)
    weights[TELLS] = (torch.randn(64) * spread).to(dtype)
    save_file(weights, models / "sd2.safetensors")
    entry = catalogue_of(models).get("sd2")
    assert entry.original.scheduler[1]["prediction_type"] == kind
    assert (entry.width, entry.height) == (side, side)


def test_xl_that_predicts_velocity_says_so(models: Path) -> None:
    marks = {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}
    single_file(tiny_pipeline("sdxl"), models / "noob.safetensors", **marks)
    config = loader(models).load("noob").scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == ("v_prediction", True)
    assert config.timestep_spacing == "trailing"


def test_numbers_of_a_format_that_is_not_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, dtype=torch.int8)}, tmp_path / "a.safetensors")
    with pytest.raises(HeaderError, match="I8"):
        read_numbers(tmp_path / "a.safetensors", read_header(tmp_path / "a.safetensors"), "a")


# --- parts from other files -----------------------------------------------------------------------


def scattered(folder: Path, key: str = "flux-dev") -> Any:
    """A model whose parts are files of their own, as FLUX.1 is handed round."""
    pipe = tiny_pipeline(key)
    single_file(pipe, folder / "dev.safetensors", parts=["transformer"])
    text_encoder_file(pipe.text_encoder, folder / "clip_l.safetensors")
    text_encoder_file(pipe.text_encoder_2, folder / "t5xxl.safetensors")
    vae_file(pipe.vae, folder / "ae.safetensors")
    return pipe


def test_a_model_takes_what_it_lacks_from_files_beside_it(models: Path) -> None:
    expected = scattered(models)
    (models / "vae").mkdir()
    (models / "ae.safetensors").rename(models / "vae" / "ae.safetensors")
    assert [e.id for e in catalogue_of(models).entries()] == ["dev"]
    pipe = loader(models).load("dev")
    for name, network in networks(expected):
        found = pipe.components[name].state_dict()
        assert all(torch.equal(found[k], t) for k, t in network.state_dict().items()), name


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("clip_l", "has no text_encoder (clip_l)"),
        ("t5xxl", "has no text_encoder_2 (t5xxl)"),
        ("ae", "has no vae (vae)"),
    ],
)
def test_what_is_nowhere_is_named(models: Path, file: str, words: str) -> None:
    scattered(models)
    (models / f"{file}.safetensors").unlink()
    assert words in problem(models, "dev")
    with pytest.raises(ModelError, match="put it beside"):
        loader(models).load("dev")


def test_of_several_that_fit_the_card_names_one(models: Path) -> None:
    expected = scattered(models)
    other = tiny_pipeline("flux-schnell").vae
    torch.nn.init.ones_(other.decoder.conv_out.bias)
    vae_file(other, models / "other.safetensors")
    told = problem(models, "dev")
    assert "several files fit: ae, other" in told
    assert "parts.vae = 'ae'" in told
    (models / "dev.toml").write_text("parts.vae = 'other'\nsteps = 7\ntitle = 'Mine'\n")
    entry = catalogue_of(models).get("dev")
    assert (entry.problem, entry.steps, entry.title) == ("", 7, "Mine")
    pipe = loader(models).load("dev")
    assert torch.equal(pipe.vae.decoder.conv_out.bias, other.decoder.conv_out.bias)
    assert not torch.equal(pipe.vae.decoder.conv_out.bias, expected.vae.decoder.conv_out.bias)
    (models / "dev.toml").write_text("parts.vae = 'clip_l'\n")
    assert "wants 'clip_l' as its vae" in problem(models, "dev")
    (models / "dev.toml").write_text("parts = [")
    assert "dev.toml cannot be read" in problem(models, "dev")


def test_a_text_encoder_of_another_width_does_not_fit(models: Path) -> None:
    scattered(models)
    pipe = tiny_pipeline("sdxl")
    text_encoder_file(pipe.text_encoder_2, models / "clip_l.safetensors")
    assert "has no text_encoder (clip_l)" in problem(models, "dev")


def test_stable_diffusion_3_runs_without_t5_and_takes_one_that_is_there(models: Path) -> None:
    pipe = tiny_pipeline("sd3")
    parts = ["transformer", "text_encoder", "text_encoder_2", "vae"]
    single_file(pipe, models / "medium.safetensors", parts=parts)
    found = loader(models).load("medium")
    assert (found.text_encoder_3, found.tokenizer_3) == (None, None)
    text_encoder_file(pipe.text_encoder_3, models / "t5.safetensors")
    found = loader(models).load("medium")
    assert torch.equal(found.text_encoder_3.shared.weight, pipe.text_encoder_3.shared.weight)


def test_the_title_that_a_file_names(models: Path, shelf: Path) -> None:
    weights = load_file(shelf / "flux-schnell.safetensors")
    save_file(weights, models / "x.safetensors", metadata={"modelspec.title": " Quick "})
    assert catalogue_of(models).get("x").title == "Quick"


@pytest.mark.parametrize(
    ("name", "key", "sampler", "steps", "cfg_scale"),
    [
        ("sdxl_lightning_8step", "sdxl", Sampler.EULER, 8, 1.0),
        ("DreamShaperXL-Turbo", "sdxl", Sampler.EULER_A, 4, 1.0),
        ("lcm_dreamshaper", "sd1", Sampler.LCM, 6, 1.5),
        ("sd3.5_large_turbo", "sd3", Sampler.EULER, 4, 1.0),
        ("calcmatic", "flux-dev", Sampler.EULER, 28, 1.0),
    ],
)
def test_models_of_few_steps_are_known_by_their_names(
    models: Path, shelf: Path, name: str, key: str, sampler: Sampler, steps: int, cfg_scale: float
) -> None:
    (models / f"{name}.safetensors").symlink_to(shelf / f"{key}.safetensors")
    entry = catalogue_of(models).get(name)
    assert (entry.sampler, entry.steps, entry.cfg_scale) == (sampler, steps, cfg_scale)
    spacing = entry.original.scheduler[1].get("timestep_spacing")
    assert (spacing == "trailing") == (key in ("sdxl", "sd1"))
    (models / f"{name}.toml").write_text("steps = 11")
    assert catalogue_of(models).get(name).steps == 11
