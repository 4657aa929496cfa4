"""The real loader on the embedded model: what it loads, shares, estimates and refuses."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.context import ModelSpec
from studio.errors import ModelError, OutOfMemory, SettingsError
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.manager import ModelManager

CPU = Device("cpu", "CPU", "float32")
TASKS = ("text2image", "image2image", "inpaint")
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def loader_on(catalogue: Catalogue, dtype: str = "float32") -> DiffusionLoader:
    return DiffusionLoader(catalogue, lambda: Device("cpu", "CPU", dtype), "sdpa")


@pytest.fixture(scope="module")
def loader() -> DiffusionLoader:
    return loader_on(Catalogue(Path("/nonexistent")))


@pytest.fixture(scope="module")
def manager(loader: DiffusionLoader) -> ModelManager:
    """One manager for all tests of this module, with the model loaded once."""
    return ModelManager({"diffusion": loader}, lambda: 10**9)


def test_plain_diffusers_loads_the_embedded_model(embedded):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(embedded)
    assert {name for name in PARTS if getattr(pipe, name) is None} == set()
    assert pipe.unet.dtype == torch.float32


def test_the_embedded_model_is_half_precision_safetensors(embedded):
    assert not list(embedded.rglob("*.bin"))
    for path in embedded.glob("*/*.safetensors"):
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        assert {v["dtype"] for k, v in header.items() if k != "__metadata__"} == {"F16"}


def test_a_loaded_pipeline_is_ready(manager, embedded_id):
    with manager.borrow(ModelSpec("diffusion", embedded_id, "text2image")) as pipe:
        assert type(pipe).__name__ == "StableDiffusionPipeline"
        assert pipe.device.type == "cpu"
        for part in (pipe.unet, pipe.vae, pipe.text_encoder):
            assert part.dtype == torch.float32
            assert not part.training
            assert all(p.device.type == "cpu" for p in part.parameters()), "nothing is left on meta"
        assert pipe.safety_checker is None


def test_all_tasks_are_views_on_the_very_same_weights(manager, embedded_id):
    views = []
    for task in TASKS:
        with manager.borrow(ModelSpec("diffusion", embedded_id, task)) as pipe:
            views.append(pipe)
    names = [type(view).__name__ for view in views]
    assert names == [
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    ]
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        assert len({id(getattr(view, part)) for view in views}) == 1, part
    assert len(manager.held()) == 1
    with manager.borrow(ModelSpec("diffusion", embedded_id, "image2image")) as again:
        assert again is views[1]
    assert views[0].unet.dtype == torch.float32, "making a view changes no weights"


def test_an_unknown_task(manager, embedded_id):
    with (
        pytest.raises(ModelError, match="'upscale'; there are text2image, image2image, inpaint"),
        manager.borrow(ModelSpec("diffusion", embedded_id, "upscale")),
    ):
        pass
    assert not manager.held()[0].in_use


def test_the_estimate_covers_what_is_measured(manager, loader, embedded_id):
    with manager.borrow(ModelSpec("diffusion", embedded_id)) as pipe:
        measured = loader.measure(pipe)
        parts = (pipe.unet, pipe.vae, pipe.text_encoder)
        assert measured >= 4 * sum(p.numel() for part in parts for p in part.parameters())
    assert manager.held()[0].bytes == measured
    assert measured * 0.9 <= loader.estimate(embedded_id).held <= measured * 1.3


def test_half_precision_halves_the_estimate_and_the_weights(loader, embedded_id):
    half = loader_on(Catalogue(Path("/nonexistent")), "bfloat16")
    assert half.estimate(embedded_id).held == pytest.approx(
        loader.estimate(embedded_id).held / 2, rel=0.01
    )
    pipe = half.load(embedded_id)
    assert (pipe.unet.dtype, pipe.text_encoder.dtype) == (torch.bfloat16, torch.bfloat16)
    assert half.measure(pipe) * 0.9 <= half.estimate(embedded_id).held <= half.measure(pipe) * 1.3


def test_a_budget_below_the_model_is_refused_before_the_load(loader, embedded_id):
    manager = ModelManager({"diffusion": loader}, lambda: 10**6)
    title = loader.title(embedded_id)
    with (
        pytest.raises(OutOfMemory, match=f"{title} needs .* of the budget of 1 MB"),
        manager.borrow(ModelSpec("diffusion", embedded_id)),
    ):
        pass


def test_a_device_that_is_full_is_named(loader, embedded_id, monkeypatch):
    from diffusers import StableDiffusionPipeline

    def refuse(self, *_args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(StableDiffusionPipeline, "to", refuse)
    with pytest.raises(OutOfMemory, match="did not fit on CPU"):
        loader.load(embedded_id)


def test_xformers_that_cannot_be_used_is_a_matter_of_settings(embedded_id, monkeypatch):
    from diffusers import StableDiffusionPipeline

    def refuse(self):
        raise ModuleNotFoundError("No module named 'xformers'")

    monkeypatch.setattr(
        StableDiffusionPipeline, "enable_xformers_memory_efficient_attention", refuse
    )
    chosen = DiffusionLoader(Catalogue(Path("/nonexistent")), lambda: CPU, "xformers")
    with pytest.raises(SettingsError, match=r"ATELIER_ATTENTION.*choose sdpa"):
        chosen.load(embedded_id)


# Damage that only shows when the weights are read


def rewrite(path: Path, change) -> None:
    """Change the header of a safetensors file so that its length stays true."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def swap_offsets(header: dict) -> None:
    first, second = [key for key in header if key != "__metadata__"][:2]
    for key, other in (("data_offsets", second), ("shape", second)):
        header[first][key], header[other][key] = header[other][key], header[first][key]
    header[first]["shape"] = [7, 7]


def unknown_dtype(header: dict) -> None:
    header[next(key for key in header if key != "__metadata__")]["dtype"] = "Q7"


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


ENCODER = "text_encoder/model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
DAMAGES = {
    "offsets of the encoder": lambda d: rewrite(d / ENCODER, swap_offsets),
    "number format of the encoder": lambda d: rewrite(d / ENCODER, unknown_dtype),
    "offsets of the denoiser": lambda d: rewrite(d / UNET, swap_offsets),
    "width of text": lambda d: edit(d / "text_encoder/config.json", hidden_size="big"),
    "width below nothing": lambda d: edit(d / "text_encoder/config.json", hidden_size=-3),
    "blocks of no width": lambda d: edit(d / "unet/config.json", block_out_channels=[0, 0, 0]),
    "a decoder of one block": lambda d: edit(d / "vae/config.json", block_out_channels=[32]),
    "tokenizer of nonsense": lambda d: (d / "tokenizer/tokenizer.json").write_text("{{"),
    "a part that is a program": lambda d: edit(d / "model_index.json", unet=["os", "system"]),
    "a part of no library": lambda d: edit(d / "model_index.json", unet=["nolib", "Thing"]),
    "a part of no class": lambda d: edit(d / "model_index.json", unet=["diffusers", "NoSuch"]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told_in_one_sentence_and_the_manager_goes_on(own, catalogue, damage):
    damage(own("damaged"))
    manager = ModelManager({"diffusion": loader_on(catalogue)}, lambda: 10**9)
    with (
        pytest.raises(ModelError) as caught,
        manager.borrow(ModelSpec("diffusion", "damaged")),
    ):
        pass
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("copy it again.")
    assert str(catalogue.get("damaged").path) in message
    assert manager.held() == []


def test_a_pickle_is_never_read(own, catalogue, tmp_path):
    """Not even when it is the only file: reading one can run a program."""
    folder = own("pickled")
    (folder / UNET).unlink()
    witness = tmp_path / "witness"
    pickle = b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR."
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle)
    with pytest.raises(ModelError, match=r"no \.safetensors weights"):
        loader_on(catalogue).load("pickled")
    assert not witness.exists()


def test_code_in_a_model_folder_is_never_run(own, catalogue, tmp_path):
    folder = own("scripted")
    witness = tmp_path / "witness"
    (folder / "unet" / "mine.py").write_text(f"open({str(witness)!r}, 'w')\nclass Net: ...\n")
    shutil.copy(folder / "unet" / "mine.py", folder / "mine.py")
    edit(folder / "model_index.json", unet=["mine", "Net"])
    with pytest.raises(ModelError):
        loader_on(catalogue).load("scripted")
    assert not witness.exists()


def test_a_model_that_lacks_a_tensor_is_refused(own, catalogue):
    """Libraries fill such a gap with random numbers and go on."""
    file = own("gappy") / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(max(tensors, key=lambda name: tensors[name].numel()))
    file.unlink()  # it is a link to the embedded model's own
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"is incomplete: text_encoder needs [\d,]+ numbers"):
        loader_on(catalogue).load("gappy")
