"""LoRAs that a training writes: put on again they are what was trained, and others know them."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from original_files import tiny_pipeline
from original_names import NAMES
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from trained import (
    NAME,
    denoiser_of,
    facts,
    lora_at,
    outputs,
    train,
    trained,
    untrained,
    wear,
    worst,
)

from studio.errors import ModelError
from studio.models.headers import read_header
from studio.models.merging.output import Writer
from studio.training.export.kohya import adapter_layers, kohya_state
from studio.training.export.lora import write_lora

TOLERANCE = 1e-4
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-text": {"text": False},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "both": {"use_dora": True, "use_rslora": True},
}


TOGETHER = {
    "sd1": tuple(CASES),
    "sd2": ("dora",),
    "sdxl": ("plain", "both"),
    "sd3": ("rslora", "dora"),
    "flux-dev": ("plain", "both"),
    "flux-schnell": ("rslora",),
    "embedded": ("rslora", "dora"),
}


@pytest.mark.parametrize("layout", ["kohya", "peft"])
@pytest.mark.parametrize(
    ("family", "case"), [(f, c) for f, cases in TOGETHER.items() for c in cases]
)
def test_what_was_trained_comes_back(family: str, case: str, layout: Any, tmp_path: Path) -> None:
    """With alphas unlike ranks and convolutions; the same denoiser and the same text states."""
    live = trained(family, **CASES[case])
    place = write_lora(live, NAME, facts(family), tmp_path / "mine.safetensors", layout, "float32")
    before = outputs(untrained(family), family)
    expected, found = outputs(live, family), outputs(wear(untrained(family), place), family)
    assert worst(expected, found) < TOLERANCE
    assert float((expected["denoiser"] - before["denoiser"]).abs().max()) > 100 * TOLERANCE
    texts = [part for part in before if part != "denoiser"]
    changed = {part: not torch.equal(before[part], found[part]) for part in texts}
    assert set(changed.values()) == {case != "no-text"}


@pytest.mark.parametrize("family", ["sd1", "flux-dev"])
def test_half_precision_is_near(family: str, tmp_path: Path) -> None:
    live = trained(family, use_dora=True)
    place = write_lora(live, NAME, facts(family), tmp_path / "mine.safetensors")
    found = outputs(wear(untrained(family), place), family)
    assert worst(outputs(live, family), found) < 0.02
    formats = {name: read_header(place).format(name) for name in read_header(place).names}
    fine = {name for name, kind in formats.items() if kind == "F32"}
    assert fine == {n for n in formats if n.endswith((".alpha", "dora_scale", "magnitude_vector"))}


# --- names ----------------------------------------------------------------------------------------


def stems(state: dict[str, torch.Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in state}


def text_stems(head: str, layers: int) -> set[str]:
    """ComfyUI's map of a CLIP (comfy/lora.py, model_lora_keys_clip), which is also kohya's."""
    leaves = [f"self_attn_{each}_proj" for each in ("q", "k", "v", "out")] + ["mlp_fc1", "mlp_fc2"]
    return {f"{head}text_model_encoder_layers_{n}_{leaf}" for n in range(layers) for leaf in leaves}


def authors_layers(unet: Any) -> set[str]:
    """A UNet's layers by the names of their first authors, with underscores."""
    names = NAMES["unet"](unet)
    return {n.removesuffix(".weight").replace(".", "_") for n in names if n.endswith(".weight")}


def compvis(name: str) -> str:
    """What AUTOMATIC1111 makes of diffusers' names (extensions-builtin/Lora/networks.py)."""
    leaves = {
        "conv1": "in_layers_2",
        "conv2": "out_layers_3",
        "time_emb_proj": "emb_layers_1",
        "conv_shortcut": "skip_connection",
    }
    name = name.removeprefix("lora_unet_")
    if name == "conv_in":
        return "input_blocks_0_0"
    if found := re.fullmatch(r"(down|up)_blocks_(\d)_(attentions|resnets)_(\d)_(.+)", name):
        side, level, sort, number, leaf = found.groups()
        at = int(level) * 3 + int(number)
        block = f"input_blocks_{1 + at}" if side == "down" else f"output_blocks_{at}"
        return f"{block}_1_{leaf}" if sort == "attentions" else f"{block}_0_{leaves[leaf]}"
    if found := re.fullmatch(r"mid_block_(attentions|resnets)_(\d)_(.+)", name):
        sort, number, leaf = found.groups()
        at = 1 if sort == "attentions" else int(number) * 2
        return f"middle_block_{at}_{leaf if sort == 'attentions' else leaves[leaf]}"
    if found := re.fullmatch(r"down_blocks_(\d)_downsamplers_0_conv", name):
        return f"input_blocks_{3 + int(found[1]) * 3}_0_op"
    found = re.fullmatch(r"up_blocks_(\d)_upsamplers_0_conv", name)
    assert found, name
    return f"output_blocks_{2 + int(found[1]) * 3}_{2 if int(found[1]) else 1}_conv"


def test_names_of_stable_diffusion_1_are_what_others_look_for() -> None:
    """kohya's and ComfyUI's are diffusers' layers; AUTOMATIC1111 knows each by another."""
    plain, live = tiny_pipeline("sd1"), train(tiny_pipeline("sd1"))
    found = stems(kohya_state(live, NAME))
    there = {"lora_unet_" + n.replace(".", "_") for n, _ in plain.unet.named_modules()}
    texts = text_stems("lora_te_", plain.text_encoder.config.num_hidden_layers)
    assert found <= there | texts
    assert texts <= found
    unets = found - texts
    assert {compvis(name) for name in unets} <= authors_layers(plain.unet)
    assert {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"} <= unets


def test_names_of_stable_diffusion_xl_are_its_first_authors() -> None:
    plain, live = tiny_pipeline("sdxl"), train(tiny_pipeline("sdxl"))
    found = stems(kohya_state(live, NAME))
    there = {"lora_unet_" + name for name in authors_layers(plain.unet)}
    first = text_stems("lora_te1_", plain.text_encoder.config.num_hidden_layers)
    second = text_stems("lora_te2_", plain.text_encoder_2.config.num_hidden_layers)
    assert found <= there | first | second
    assert first | second <= found
    assert "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q" in found
    assert "lora_unet_middle_block_1_proj_in" in found


def test_diffusers_own_loader_reads_them_too(tmp_path: Path) -> None:
    """Of LoRAs with one alpha for all; others and a DoRA's magnitudes it passes over."""
    live = train(tiny_pipeline("sdxl"), wide=False, rank_pattern={}, alpha_pattern={})
    place = write_lora(live, NAME, facts("sdxl"), tmp_path / "mine.safetensors", dtype="float32")
    other = tiny_pipeline("sdxl")
    other.load_lora_weights(tmp_path, weight_name=place.name)
    assert worst(outputs(live, "sdxl"), outputs(other, "sdxl")) < TOLERANCE


def test_alpha_is_what_the_product_is_multiplied_by() -> None:
    """Others divide it by the rank; an rsLoRA is divided by the rank's root."""
    plain = kohya_state(trained("sd1"), NAME)
    rooted = kohya_state(trained("sd1", use_rslora=True), NAME)
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_"
    for layer, rank, alpha in (("to_q", 4, 7.0), ("to_k", 3, 10.0), ("to_v", 4, 1.0)):
        assert plain[f"{stem}{layer}.lora_down.weight"].shape[0] == rank
        assert float(plain[f"{stem}{layer}.alpha"]) == alpha
        assert float(rooted[f"{stem}{layer}.alpha"]) == pytest.approx(alpha * rank**0.5)
        assert plain[f"{stem}{layer}.alpha"].shape == ()


def test_magnitudes_have_the_shape_of_weights_of_one_input() -> None:
    state = kohya_state(trained("sd1", use_dora=True), NAME)
    wide = state["lora_unet_down_blocks_0_resnets_0_conv1.dora_scale"]
    assert wide.shape == (32, 1, 1, 1)
    flat = state["lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.dora_scale"]
    assert flat.shape == (64, 1)


@pytest.mark.parametrize("family", ["sd3", "flux-dev"])
def test_transformers_need_no_alpha(family: str, tmp_path: Path) -> None:
    """It is in the matrices, for those readers who look for none."""
    live = trained(family)
    place = write_lora(live, NAME, facts(family), tmp_path / "mine.safetensors", dtype="float32")
    state = load_file(place)
    for layer in adapter_layers(live, NAME):
        name = layer.name
        if layer.part.startswith("text_encoder"):
            name = "text_model." + name.removeprefix("text_model.")
        stem = f"{layer.part}.{name}"
        product = state[f"{stem}.lora_B.weight"] @ state[f"{stem}.lora_A.weight"]
        expected = layer.up @ layer.down * layer.written_alpha / layer.rank
        assert torch.allclose(product, expected, atol=1e-5)
    assert not any(name.endswith(".alpha") for name in state)


# --- files ----------------------------------------------------------------------------------------


def test_both_hashes_are_those_of_kohyas_scripts(tmp_path: Path, monkeypatch: Any) -> None:
    """Of all after the header, and of 64 KiB of a file with ss_* alone, as written by ours."""
    monkeypatch.setattr("studio.models.hashes._LEGACY", (0x4000, 0x1000))
    place = write_lora(trained("sd1"), NAME, facts("sd1"), tmp_path / "mine.safetensors")
    data, notes = place.read_bytes(), dict(read_header(place).metadata)
    start = 8 + int.from_bytes(data[:8], "little")
    assert notes["sshs_model_hash"] == hashlib.sha256(data[start:]).hexdigest()
    state, header = load_file(place), read_header(place)
    with Writer(tmp_path / "again", list(header.names), 9) as writer:
        for name in header.names:
            writer.add(name, state[name], header.format(name))
        first = writer.header({key: text for key, text in notes.items() if key.startswith("ss_")})
    plain = first + data[start:]
    expected = hashlib.sha256(plain[0x4000:0x5000]).hexdigest()[:8]
    assert notes["sshs_legacy_hash"] == expected
    assert len(first) > 0x4000, "the piece begins in the header here"


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    place = tmp_path / "mine.safetensors"
    place.write_bytes(b"old")
    live = trained("sd1", text=False, wide=False)
    with pytest.raises(ModelError, match=r"There is a mine\.safetensors"):
        write_lora(live, NAME, facts("sd1"), place)
    assert place.read_bytes() == b"old"
    write_lora(live, NAME, facts("sd1"), place, replace=True)
    assert lora_at(place).family == "Stable Diffusion 1"
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".")] == [
        place.name
    ]


def test_numbers_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    live = trained("sd1", text=False, wide=False)
    layer = adapter_layers(live, NAME)[0]
    layer.up[0, 0] = 1e6
    place = tmp_path / "mine.safetensors"
    with pytest.raises(ModelError, match="do not fit float16"):
        write_lora(live, NAME, facts("sd1"), place)
    assert not place.exists()
    write_lora(live, NAME, facts("sd1"), place, dtype="bfloat16")
    layer.up[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        write_lora(live, NAME, facts("sd1"), place, dtype="float32", replace=True)
    assert lora_at(place).facts.network == "unet", "the older one is whole"


def test_a_full_disk_is_told_before(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("studio.models.merging.output._SPARE", 10**18)
    with pytest.raises(ModelError, match="free some space"):
        write_lora(trained("sd1"), NAME, facts("sd1"), tmp_path / "mine.safetensors")
    assert not (tmp_path / "mine.safetensors").exists()


def test_adapters_that_no_file_holds(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapter 'other'"):
        write_lora(trained("sd1"), "other", facts("sd1"), tmp_path / "x.safetensors")
    pipe = untrained("sd1")
    given = LoraConfig(r=2, target_modules=["conv_in"], lora_bias=True)
    pipe.unet.add_adapter(given, adapter_name=NAME)
    with pytest.raises(ModelError, match="conv_in of unet has a bias"):
        write_lora(pipe, NAME, facts("sd1"), tmp_path / "x.safetensors")
    pipe = untrained("sd3")
    pipe.text_encoder_3.add_adapter(LoraConfig(r=2, target_modules=["q"]), adapter_name=NAME)
    with pytest.raises(ModelError, match="is on text_encoder_3, for which LoRA files"):
        write_lora(pipe, NAME, facts("sd3"), tmp_path / "x.safetensors")


# --- DoRAs of others ------------------------------------------------------------------------------


def normed(weight: torch.Tensor, scale: torch.Tensor, *, inputs: bool) -> torch.Tensor:
    """A weight whose inputs' or outputs' norms are the magnitudes."""
    axes = (0, *range(2, weight.dim())) if inputs else tuple(range(1, weight.dim()))
    return weight * scale / torch.linalg.vector_norm(weight, dim=axes, keepdim=True)


@pytest.mark.parametrize("inputs", [True, False])
def test_a_dora_is_the_weight_that_its_file_means(inputs: bool, tmp_path: Path) -> None:
    """Magnitudes of outputs or, as LyCORIS and OneTrainer have them, of inputs."""
    plain, worn = untrained("sd1"), untrained("sd1")
    expected = untrained("sd1")
    state = {}
    torch.manual_seed(3)
    layers = {
        "down_blocks.0.resnets.0.conv1": (1, 1),
        "down_blocks.0.downsamplers.0.conv": (2, 1),
        "down_blocks.1.attentions.0.proj_in": (1, 1),
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (1, 1),
    }
    for layer in layers:
        own = expected.unet.get_submodule(layer)
        weight = own.weight.data
        down, up = torch.randn(3, *weight.shape[1:]) / 9, torch.randn(len(weight), 3) / 9
        shape = [1] * weight.dim()
        shape[inputs] = weight.shape[inputs]
        scale = 1 + torch.rand(shape)
        delta = 0.5 / 3 * (up @ down.flatten(1)).reshape(weight.shape)
        own.weight.data = normed(weight + delta, scale, inputs=inputs)
        stem = "lora_unet_" + layer.replace(".", "_")
        state |= {
            f"{stem}.lora_down.weight": down,
            f"{stem}.lora_up.weight": up.reshape(len(up), 3, *shape[2:]),
            f"{stem}.alpha": torch.tensor(0.5),
            f"{stem}.dora_scale": scale,
        }
    place = tmp_path / "dora.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, place)
    assert lora_at(place).facts.problem == ""
    before = outputs(plain, "sd1")
    found = outputs(wear(worn, place), "sd1")
    assert worst(found, outputs(expected, "sd1")) < TOLERANCE
    assert worst(found, before) > 100 * TOLERANCE
    assert worst(outputs(wear(worn), "sd1"), before) == 0, "taken off it is as it was"
    assert worst(outputs(wear(worn, place), "sd1"), found) == 0
    with torch.no_grad():
        weaker = outputs(wear(worn, place, strength=0.5), "sd1")
    assert worst(weaker, found) > TOLERANCE


def test_a_dora_of_some_layers_only_is_refused(tmp_path: Path) -> None:
    state = kohya_state(trained("sd1", use_dora=True, text=False), NAME)
    state.pop(next(name for name in state if name.endswith("dora_scale")))
    place = tmp_path / "some.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, place)
    pipe = untrained("sd1")
    with pytest.raises(ModelError, match="'some' is a DoRA in some of its layers"):
        wear(pipe, place)
    assert pipe.get_list_adapters() == {}


def test_a_dora_with_layers_of_another_model_is_refused(tmp_path: Path) -> None:
    state = kohya_state(trained("sd1", use_dora=True, text=False), NAME)
    state["lora_unet_of_another_kind.dora_scale"] = torch.ones(4, 1)
    place = tmp_path / "odd.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, place)
    with pytest.raises(ModelError, match=r"that this model has not \(lora_unet_of_another"):
        wear(untrained("sd1"), place)


def test_two_adapters_at_once(tmp_path: Path) -> None:
    """A DoRA and a LoRA, put on and taken off one after the other."""
    dora = write_lora(trained("sd1", use_dora=True), NAME, facts("sd1"), tmp_path / "a.safetensors")
    plain = write_lora(trained("sd1"), NAME, facts("sd1"), tmp_path / "b.safetensors")
    pipe = untrained("sd1")
    alone = outputs(wear(pipe, dora), "sd1")
    both = outputs(wear(pipe, dora, plain), "sd1")
    assert worst(both, alone) > TOLERANCE
    assert worst(outputs(wear(pipe, dora), "sd1"), alone) < TOLERANCE


def test_metadata_of_peft_says_how_it_was_trained(tmp_path: Path) -> None:
    live = trained("sd1", use_rslora=True)
    place = write_lora(live, NAME, facts("sd1"), tmp_path / "mine.safetensors", "peft")
    told = json.loads(read_header(place).metadata["lora_adapter_metadata"])
    assert (told["unet.r"], told["unet.lora_alpha"]) == (4, 10.0)
    assert told["unet.use_rslora"] is True
    assert told["text_encoder.lora_alpha"] == 2.0
    ranks = told["unet.rank_pattern"]
    assert ranks["^mid_block.attentions.0.transformer_blocks.0.attn1.to_k"] == 3
    assert denoiser_of(live) == "unet"
