"""Files of upscaling models: which are listed, and what becomes of those that cannot be used."""

import pytest
import upscaler_files

from studio.errors import ModelError
from studio.models.devices import Device
from studio.models.upscalers import UpscalerLoader, UpscalerShelf


def test_files_are_listed_by_name_and_seen_as_soon_as_they_are_there(tmp_path):
    shelf = UpscalerShelf(tmp_path / "upscalers")
    assert shelf.entries() == []
    upscaler_files.nearest(tmp_path / "upscalers" / "b.safetensors")
    (tmp_path / "upscalers" / "a.pth").write_bytes(b"")
    (tmp_path / "upscalers" / "b.pth").write_bytes(b"")  # the same model before it was converted
    (tmp_path / "upscalers" / "notes.txt").write_text("hello")
    assert [(entry.name, bool(entry.problem)) for entry in shelf.entries()] == [
        ("a", True),
        ("b", False),
    ]
    assert shelf.usable("b").path.name == "b.safetensors"
    with pytest.raises(ModelError, match=r"a\.pth is a pickle"):
        shelf.usable("a")
    for name in ("c", "../b", "b.safetensors", ""):
        with pytest.raises(ModelError, match="not installed"):
            shelf.usable(name)


@pytest.mark.parametrize(
    ("dtype", "loaded"), [("float32", "float32"), ("float16", "float16"), ("bfloat16", "bfloat16")]
)
def test_a_model_is_loaded_in_the_devices_number_format(tmp_path, dtype, loaded):
    upscaler_files.esrgan(tmp_path / "x.safetensors")
    device = Device("cpu", "CPU", dtype)
    loader = UpscalerLoader(UpscalerShelf(tmp_path), lambda: device)
    model = loader.load("x")
    assert str(model.dtype) == f"torch.{loaded}"
    assert not model.model.training
    numbers = sum(part.numel() for part in model.model.parameters())
    assert loader.measure(model) == numbers * (4 if loaded == "float32" else 2)
    assert loader.estimate("x").held >= loader.measure(model)
    assert loader.title("x") == "x"
