"""LoRAs out of two models, and models with LoRAs in them: numbers, names and what is refused."""

from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from lora_files import RANK, lora_file
from making import Bench, Listener, changed, tensors
from original_files import text_encoder_file, tiny_pipeline
from safetensors.torch import load_file, save_file

from studio.errors import Cancelled, ModelError
from studio.models.adapters import LoraShelf
from studio.models.headers import read_header
from studio.models.merging.recipe import read_recipe

Take = Callable[..., None]
LAYOUTS = ("sd", "sdxl", "sd3", "flux-dev", "sdxl-file", "sd3-file", "flux-dev-file")
LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def shelf(bench: Bench) -> LoraShelf:
    return bench.catalogue.loras


def conv_lora(
    path: Path, unet: dict[str, torch.Tensor], size: float = 0.1
) -> dict[str, torch.Tensor]:
    """A LoCon of kohya's for three layers of a UNet, with an alpha of half the rank."""
    noise = torch.Generator().manual_seed(3)
    out = {}
    for layer in (
        "down_blocks.0.resnets.0.conv1",
        "down_blocks.0.downsamplers.0.conv",
        LAYER,
    ):
        weight = unet[f"{layer}.weight"]
        key = "lora_unet_" + layer.replace(".", "_")
        tail = weight.shape[2:]
        ones = [1] * len(tail)
        out[f"{key}.lora_down.weight"] = size * torch.randn(
            RANK, weight.shape[1], *tail, generator=noise
        )
        out[f"{key}.lora_up.weight"] = size * torch.randn(
            weight.shape[0], RANK, *ones, generator=noise
        )
        out[f"{key}.alpha"] = torch.tensor(RANK / 2)
    path.parent.mkdir(exist_ok=True)
    save_file(out, path)
    return out


def test_baked_numbers_are_the_products(bench: Bench, take: Take) -> None:
    take("sd")
    unet = load_file(bench.place("sd") / "unet" / "diffusion_pytorch_model.safetensors")
    lora = conv_lora(bench.root / "loras" / "locon.safetensors", unet)
    bench.bake(model="sd", loras=["locon"], strengths=[0.7])
    before, after = tensors(bench.place("sd")), tensors(bench.place("new"))
    touched = set()
    for key in {name.partition(".")[0] for name in lora}:
        down, up = (lora[f"{key}.lora_{side}.weight"].double() for side in ("down", "up"))
        (name,) = (
            n for n in before if "lora_" + n.replace("/", "_").replace(".", "_") == f"{key}_weight"
        )
        delta = 0.7 * 0.5 * (up.flatten(1) @ down.flatten(1)).reshape(before[name].shape)
        torch.testing.assert_close(after[name].double(), before[name].double() + delta)
        touched.add(name)
    assert all(torch.equal(before[name], after[name]) for name in before if name not in touched)
    recipe = read_recipe(bench.place("new"))
    assert recipe is not None
    assert [(each.role, each.id, each.weight) for each in recipe.parents] == [
        ("base", "sd", None),
        ("LoRA", "locon", 0.7),
    ]
    assert len(recipe.parents[1].sha256) == 64


def test_several_loras_add_up(bench: Bench, take: Take) -> None:
    take("sd")
    unet = load_file(bench.place("sd") / "unet" / "diffusion_pytorch_model.safetensors")
    for name in ("one", "two"):
        conv_lora(bench.root / "loras" / f"{name}.safetensors", unet)
    bench.bake(name="both", model="sd", loras=["one", "two"], strengths=[0.25, 0.5])
    bench.bake(name="whole", model="sd", loras=["one"], strengths=[0.75])
    both, whole = (tensors(bench.place(name)) for name in ("both", "whole"))
    for name in both:
        torch.testing.assert_close(both[name], whole[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "key", ["sd", "sdxl", "sd3", "flux-dev", "sdxl-file", "sd3-file", "flux-dev-file"]
)
def test_what_was_baked_in_is_extracted_again(
    bench: Bench, take: Take, key: str, stock: Path
) -> None:
    """Each layer's product is what the LoRA had, in every layout; all names are read back."""
    take(key)
    plain = key.removesuffix("-file")
    if key.endswith("-file"):
        pipe = tiny_pipeline(plain)
    else:
        pipe = diffusers.DiffusionPipeline.from_pretrained(stock / plain)
    lora_file(pipe, bench.root / "loras" / "known.safetensors", text=plain in ("sd", "sdxl"))
    bench.bake(name="baked", model=key, loras=["known"], strengths=[0.5])
    heard = bench.extract(
        name="found", tuned="baked", base=key, rank=RANK, clamp=1, stored="float32"
    )
    assert heard.notices == ["The LoRA holds 100.0% of the difference."]
    lora = shelf(bench).usable("found", bench.catalogue.get(key))
    bench.bake(name="again", model=key, loras=["found"])
    first, again = tensors(bench.place("baked")), tensors(bench.place("again"))
    base = tensors(bench.place(key))
    assert any(not torch.equal(base[name], first[name]) for name in base)
    for name in first:
        torch.testing.assert_close(again[name], first[name], rtol=1e-4, atol=1e-4, msg=name)
    header = read_header(lora.path)
    kohya = plain in ("sd", "sdxl")
    assert all(name.startswith("lora_") for name in header.names) == kohya
    assert header.metadata["ss_network_dim"] == str(RANK)
    assert lora.facts.base == bench.catalogue.get(key).title
    assert header.metadata["modelspec.architecture"].endswith("/lora")
    recipe = read_recipe(lora.path)
    assert recipe is not None
    assert recipe.settings["held"] == pytest.approx(1)


def test_a_low_rank_says_what_it_leaves_out(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")
    heard = bench.extract(tuned="sd-b", base="sd", rank=1, text=False)
    (notice,) = heard.notices
    share = float(notice.split()[3].rstrip("%"))
    assert 1 < share < 60
    lora = shelf(bench).find("new")
    assert lora is not None
    assert {read_header(lora.path).format(name) for name in read_header(lora.path).names} == {"F16"}
    assert not any(name.startswith("lora_te") for name in read_header(lora.path).names)


def test_alpha_is_the_rank_of_each_layer(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")
    bench.extract(tuned="sd-b", base="sd", rank=24, stored="float32")
    found = load_file(bench.root / "loras" / "new.safetensors")
    for name, tensor in found.items():
        if name.endswith("alpha"):
            assert float(tensor) == len(found[name.replace("alpha", "lora_down.weight")])


def test_a_stopped_extraction_leaves_nothing(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")

    def stop(check: int) -> None:
        if check == 25:
            raise Cancelled

    with pytest.raises(Cancelled):
        bench.extract(Listener(stop), tuned="sd-b", base="sd")
    assert not list(bench.root.rglob("*new*"))
    assert not list((bench.root / ".merging").iterdir())


def test_models_that_are_the_same(bench: Bench, take: Take) -> None:
    take("sd")
    with pytest.raises(ModelError, match="sd and sd have the same weights"):
        bench.extract(tuned="sd", base="sd")
    assert not list(bench.root.rglob("new*"))


def test_models_of_other_kinds(bench: Bench, take: Take) -> None:
    take("sd", "sd-inpaint", "sdxl", "sdxl-file")
    for tuned, words in (
        ("sdxl", "sdxl is Stable Diffusion XL, but sd is Stable Diffusion"),
        ("sd-inpaint", r"sd-inpaint is Stable Diffusion \(inpainting\), but sd is"),
        ("sdxl-file", "sd is a folder and sdxl-file a single file"),
    ):
        with pytest.raises(ModelError, match=words):
            bench.extract(tuned=tuned, base="sd")


# --- what cannot be baked -------------------------------------------------------------------------


def test_loras_that_cannot_be_baked(bench: Bench, take: Take) -> None:
    take("sd", "flux-dev")
    loras = bench.root / "loras"
    unet = load_file(bench.place("sd") / "unet" / "diffusion_pytorch_model.safetensors")
    good = conv_lora(loras / "good.safetensors", unet)
    stem = "lora_unet_" + LAYER.replace(".", "_")
    up = f"{stem}.lora_up.weight"
    save_file(good | {up: good[up] * float("nan")}, loras / "nan.safetensors")
    save_file(good | {up: torch.ones(3, RANK)}, loras / "wide.safetensors")
    (loras / "cut.safetensors").write_bytes((loras / "good.safetensors").read_bytes()[:-9])
    dora = {
        f"unet.{LAYER}.lora_A.weight": good[f"{stem}.lora_down.weight"],
        f"unet.{LAYER}.lora_B.weight": good[up],
        f"unet.{LAYER}.lora_magnitude_vector": torch.ones(len(good[up])),
    }
    save_file(dora, loras / "dora.safetensors")
    save_file({"lora_unet_x.hada_w1_a": torch.zeros(4, 8)}, loras / "ha.safetensors")
    before = bench.left()
    for model, lora, words in (
        ("flux-dev", "good", "LoRA 'good' is for"),
        ("sd", "nowhere", "LoRA 'nowhere' is not installed"),
        ("sd", "cut", r"LoRA 'cut' cannot be used: cut\.safetensors is cut off; copy it again"),
        ("sd", "nan", "LoRA 'nan' holds numbers that are none"),
        ("sd", "wide", "LoRA wide could not be put on sd"),
        ("sd", "dora", "LoRA 'dora' has more than two matrices a layer"),
        ("sd", "ha", "is a LoHa, which this studio does not apply"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            bench.bake(model=model, loras=[lora])
        assert str(caught.value).endswith(".")
    assert bench.left() - before <= {".merging"}


def test_a_text_encoder_in_another_file_is_left_as_it_is(bench: Bench, take: Take) -> None:
    take("flux-dev-file")
    pipe, bare = tiny_pipeline("flux-dev"), bench.root / "bare.safetensors"
    encoders = "text_encoders."
    changed(bench.place("flux-dev-file"), bare, lambda n, t: None if n.startswith(encoders) else t)
    text_encoder_file(pipe.text_encoder, bench.root / "clip_l.safetensors")
    text_encoder_file(pipe.text_encoder_2, bench.root / "t5xxl.safetensors")
    lora_file(pipe, bench.root / "loras" / "texts.safetensors", text=True)
    (bench.root / "flux-dev-file.safetensors").unlink()
    heard = bench.bake(model="bare", loras=["texts"])
    assert heard.notices == [
        "What LoRA 'texts' has for a text encoder is left out: this model takes its text encoder "
        "from another file."
    ]
    before, after = tensors(bare), tensors(bench.place("new"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
