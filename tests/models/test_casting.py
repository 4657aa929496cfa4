"""Networks that are read in a smaller number format than their files have."""

import shutil
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, tiny_model

from studio.errors import ModelError
from studio.models import families
from studio.models.casting import is_larger, read_network
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.entry import ASSETS


@pytest.fixture
def models(tmp_path: Path):
    def make(family: str) -> tuple[Path, Path]:
        place = tmp_path / f"tiny-{family}"
        tiny_model(family, place, ASSETS / "tokenizers" / "clip")
        [found] = [each for each in families.FAMILIES if each.key == family]
        return place, place / found.denoiser

    return make


def load(place: Path, dtype: str):
    device = Device("cpu", "CPU", dtype)
    return DiffusionLoader(Catalogue(place.parent), lambda: device, "sdpa").load(place.name)


def plain(network: Path, dtype: torch.dtype):
    kind = getattr(diffusers, diffusers.UNet2DConditionModel.load_config(network)["_class_name"])
    return kind.from_pretrained(network, torch_dtype=dtype, use_safetensors=True)


def same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    mine, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    mine |= dict(one.named_buffers())
    theirs |= dict(other.named_buffers())
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux-dev"])
def test_they_are_what_diffusers_reads(models, family, dtype):
    place, network = models(family)
    assert family in FAMILIES
    assert is_larger(network, dtype)
    assert not is_larger(network, torch.float32)
    pipe = load(place, str(dtype).removeprefix("torch."))
    name = network.name
    same(getattr(pipe, name), plain(network, dtype))
    assert not getattr(pipe, name).training


def test_files_in_parts(models):
    _, network = models("sd1")
    whole = plain(network, torch.float32)
    shutil.rmtree(network)
    whole.save_pretrained(network, max_shard_size="200KB")
    assert len(list(network.glob("*.safetensors"))) > 1
    same(read_network(network, torch.bfloat16), whole.to(torch.bfloat16).eval())


def test_variants_of_the_same_numbers_are_left_alone(models):
    _, network = models("sd1")
    file = network / "diffusion_pytorch_model.safetensors"
    numbers = load_file(file)
    wrong = {name: torch.zeros_like(each) for name, each in numbers.items()}
    save_file(wrong, network / "diffusion_pytorch_model.zeros.safetensors")
    other = {"a": torch.zeros(2, dtype=torch.int8)}
    save_file(other, network / "diffusion_pytorch_model.other.safetensors")
    assert is_larger(network, torch.bfloat16), "what is beside it has no say"
    same(read_network(network, torch.bfloat16), plain(network, torch.bfloat16))


def test_what_is_missing_or_damaged_is_told(models):
    place, network = models("sd1")
    [file] = network.glob("*.safetensors")
    numbers = load_file(file)
    save_file({name: each for name, each in numbers.items() if name != "conv_in.weight"}, file)
    with pytest.raises(ModelError, match=r"no numbers for conv_in\.weight"):
        load(place, "bfloat16")
    save_file(numbers | {"conv_in.weight": torch.zeros(1, 2, 3, 4)}, file)
    with pytest.raises(ModelError, match=r"conv_in\.weight"):
        load(place, "bfloat16")
    save_file(numbers, file)
    file.write_bytes(file.read_bytes()[:-7])
    assert not is_larger(network, torch.bfloat16)
    with pytest.raises(ModelError):
        load(place, "bfloat16")


def test_what_is_no_safetensors_file_is_left_to_diffusers(tmp_path):
    (tmp_path / "diffusion_pytorch_model.safetensors").write_text("version https://git-lfs")
    assert not is_larger(tmp_path, torch.bfloat16)
    assert not is_larger(tmp_path / "nothing", torch.bfloat16)
    save_file(
        {"a": torch.zeros(2, dtype=torch.int8)}, tmp_path / "diffusion_pytorch_model.safetensors"
    )
    assert not is_larger(tmp_path, torch.bfloat16)
