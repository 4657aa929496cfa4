"""The picker of LoRA files: what it lists for a model, shows of a file, and writes in a prompt."""

import io
import json
from pathlib import Path

import gradio as gr
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from studio.diffusion.networks_called import with_lora
from tabs.blocks.loras import LoraHandlers

KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"


@pytest.fixture
def context(services) -> int:
    """Features of the text states that the embedded model attends to."""
    return services.catalogue.get("").context


@pytest.fixture
def folder(settings) -> Path:
    path = settings.data_dir / "models" / "loras"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def picker(services) -> LoraHandlers:
    return LoraHandlers(services)


def put(folder: Path, name: str, context: int, **metadata: str) -> None:
    save_file({KEY: torch.zeros(4, context)}, folder / f"{name}.safetensors", metadata or None)


class Pressed:
    """A trigger word that was pressed."""

    def __init__(self, text: str):
        self.text = text


def names(dropdown: gr.Dropdown) -> list[str]:
    return [value for _, value in dropdown.choices]


def test_without_files_it_says_where_they_go(picker):
    listed, card, triggers = picker.listed("", None)
    assert names(listed) == []
    assert not listed.interactive
    assert "<code>models/</code>" in card
    assert triggers == []


def test_it_lists_what_fits_the_model_and_counts_the_rest(picker, folder, context):
    put(folder, "b", context)
    put(folder, "A", context)
    put(folder, "large", context + 1)
    listed, card, _ = picker.listed("", "large")
    assert names(listed) == ["A", "b"]
    assert listed.value is None
    assert "1 more is for other models." in card
    listed, _, _ = picker.listed("", "b")
    assert listed.value == "b"


def test_it_shows_what_a_file_is(picker, folder, context):
    tags = json.dumps({"x": {"sks <b>": 3, "cat": 1}})
    put(folder, "style", context, ss_tag_frequency=tags, ss_sd_model_name="<base>")
    stream = io.BytesIO()
    Image.new("RGB", (900, 600), "teal").save(stream, "PNG")
    (folder / "style.png").write_bytes(stream.getvalue())
    (folder / "style.json").write_text('{"preferred weight": 0.7}')
    card, triggers, strength = picker.chosen("style")
    assert "trained on &lt;base&gt;" in card
    assert "data:image/webp;base64," in card
    assert len(card) < 20_000, "only a small picture goes to the page"
    assert triggers == ["sks <b>", "cat"]
    assert strength == 0.7


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_that_is_none_is_left_out(picker, folder, context, data):
    put(folder, "style", context)
    (folder / "style.png").write_bytes(data)
    card, _, _ = picker.chosen("style")
    assert "<img" not in card


def test_it_writes_and_takes_back_the_tag(picker):
    assert picker.added("a cat", "style", 0.8) == "a cat <lora:style:0.8>"
    assert picker.removed("a cat <lora:style:0.8>", "style") == "a cat"
    assert picker.removed("a cat", None) == "a cat"
    with pytest.raises(gr.Error, match="Choose a LoRA first"):
        picker.added("a cat", None, 1)


def test_a_trigger_word_goes_to_the_end(picker):
    assert picker.word("a cat, ", Pressed("sks")) == "a cat, sks"
    assert picker.word("", Pressed("sks")) == "sks"


@pytest.mark.parametrize(
    ("prompt", "strength", "expected"),
    [
        ("", 1.0, "<lora:x:1>"),
        ("a <lora:x:0.5> b", 0.75, "a <lora:x:0.75> b"),
        ("a <lora:X:0.5> b <lora:x:1>", 2.0, "a <lora:x:2> b"),
        ("a <lora:xy:0.5>", 1.0, "a <lora:xy:0.5> <lora:x:1>"),
        ("a <lyco:x:0.5:0.2> b", None, "a b"),
        ("<lora:x> b", None, "b"),
    ],
)
def test_one_tag_for_each_file(prompt, strength, expected):
    assert with_lora(prompt, "x", strength) == expected


def test_a_name_that_looks_like_a_pattern():
    assert with_lora("<lora:a+(b):1>", "a+(b)", 0.5) == "<lora:a+(b):0.5>"
