"""What LoRA files say of themselves, and how soon thousands of them are listed."""

import base64
import io
import json
import os
import struct
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from studio.models.adapters import Lora
from studio.models.catalogue import Catalogue

MANY = 2000
SECONDS = 1.0


def catalogue(folder: Path, memory: Path | None = None) -> Catalogue:
    return Catalogue(folder, embedded=Path("/nonexistent"), memory=memory)


def lora(folder: Path, name: str = "style", **metadata: str) -> Lora:
    folder.mkdir(parents=True, exist_ok=True)
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    save_file({key: torch.zeros(4, 768)}, folder / f"{name}.safetensors", metadata=metadata or None)
    found = catalogue(folder).loras.find(name)
    assert found is not None
    return found


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, "PNG")
    return stream.getvalue()


def header_of_264_layers() -> tuple[bytes, int]:
    """As kohya's scripts write it for Stable Diffusion 1, with the tags of its captions."""
    tensors: dict[str, object] = {}
    end = 0
    for layer in range(264):
        stem = f"lora_unet_down_blocks_{layer}_attentions_0_transformer_blocks_0_attn2_to_k"
        for leaf, shape in (("lora_down.weight", [4, 768]), ("lora_up.weight", [320, 4])):
            size = 2 * shape[0] * shape[1]
            tensors[f"{stem}.{leaf}"] = {
                "dtype": "F16",
                "shape": shape,
                "data_offsets": [end, end + size],
            }
            end += size
        tensors[f"{stem}.alpha"] = {"dtype": "F16", "shape": [], "data_offsets": [end, end + 2]}
        end += 2
    tags = {"folder": {f"tag number {number}": number for number in range(400)}}
    tensors["__metadata__"] = {"ss_tag_frequency": json.dumps(tags)}
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text, end


@pytest.mark.slow
@pytest.mark.alone
def test_thousands_are_listed_in_less_than_a_second(tmp_path: Path) -> None:
    """By a server that has seen them before, also an earlier one; a new file is read at once."""
    models, memory = tmp_path / "models", tmp_path / "cache"
    models.mkdir()
    header, size = header_of_264_layers()
    for number in range(MANY):
        with (models / f"{number}.safetensors").open("wb") as file:
            file.write(header)
            file.truncate(len(header) + size)  # a hole: only headers are read
    first = catalogue(models, memory)
    assert len(first.loras.entries()) == MANY
    lora(models, "new")
    for shelf in (first, catalogue(models, memory)):
        start = time.thread_time()
        found = shelf.loras.entries()
        assert time.thread_time() - start < SECONDS
        assert len(found) == MANY + 1
        assert found[0].triggers[0] == "tag number 399"
        assert found[0].family == "Stable Diffusion 1"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 1}', b'{"version": 0}'])
def test_a_damaged_memory_is_no_fault(tmp_path: Path, content: bytes) -> None:
    lora(tmp_path / "models")
    memory = tmp_path / "cache"
    memory.mkdir()
    (memory / "loras.json").write_bytes(content)
    assert [each.name for each in catalogue(tmp_path / "models", memory).loras.entries()] == [
        "style"
    ]
    assert b"style" in (memory / "loras.json").read_bytes()


def test_what_changed_is_read_anew(tmp_path: Path) -> None:
    memory = tmp_path / "cache"
    lora(tmp_path, ss_sd_model_name="one")
    assert catalogue(tmp_path, memory).loras.entries()[0].facts.base == "one"
    lora(tmp_path, ss_sd_model_name="other")
    os.utime(tmp_path / "style.safetensors", (1, 1))
    assert catalogue(tmp_path, memory).loras.entries()[0].facts.base == "other"


def test_a_link_back_to_its_own_folder_ends(tmp_path: Path) -> None:
    lora(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert [each.name for each in catalogue(tmp_path).loras.entries()] == ["style"]


def test_the_commonest_tags_are_its_triggers(tmp_path: Path) -> None:
    tags = {"10_cat": {"sks cat": 30, "sofa": 4}, "5_more": {"sofa": 3, " ": 99}}
    assert lora(tmp_path, ss_tag_frequency=json.dumps(tags)).triggers == ("sks cat", "sofa")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 99_999])
def test_tags_that_are_none(tmp_path: Path, text: str) -> None:
    assert lora(tmp_path, ss_tag_frequency=text).triggers == ()


def test_a_trigger_phrase_comes_before_tags_and_a_note_before_both(tmp_path: Path) -> None:
    found = lora(
        tmp_path,
        ss_tag_frequency='{"a": {"tag": 1}}',
        **{"modelspec.trigger_phrase": "in the style of x"},
    )
    assert found.triggers == ("in the style of x",)
    assert found.strength == 1.0
    (tmp_path / "style.json").write_text('{"activation text": "one, two", "preferred weight": 0.6}')
    assert found.triggers == ("one", "two")
    assert found.strength == 0.6
    (tmp_path / "style.json").write_text('{"preferred weight": "much"}')
    assert found.strength == 1.0
    (tmp_path / "style.json").write_text("[]")
    assert found.triggers == ("in the style of x",)


def test_the_base_model_as_its_maker_names_it(tmp_path: Path) -> None:
    assert lora(tmp_path).facts.base == ""
    named = {"modelspec.architecture": "stable-diffusion-v1/lora", "ss_sd_model_name": "x.ckpt"}
    assert lora(tmp_path, **named).facts.base == "x.ckpt"


def test_its_picture_stands_beside_it_or_in_its_header(tmp_path: Path) -> None:
    assert lora(tmp_path).picture() is None
    uri = "data:image/png;base64," + base64.b64encode(picture("red")).decode()
    found = lora(tmp_path, **{"modelspec.thumbnail": uri})
    assert found.picture() == picture("red")
    (tmp_path / "style.preview.png").write_bytes(picture("blue"))
    assert found.picture() == picture("blue")
    assert lora(tmp_path, "odd", **{"modelspec.thumbnail": "data:image/png,x"}).picture() is None


def test_two_of_one_name_are_told_apart_by_place(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        lora(tmp_path / place)
    assert [each.name for each in catalogue(tmp_path).loras.entries()] == ["b/style", "style"]
