"""The names of blocks in both layouts, and weights for them."""

import re

import diffusers
import pytest
from accelerate import init_empty_weights
from original_names import NAMES

from studio.errors import RequestError
from studio.models.families import Network
from studio.models.merging.blocks import Blocks, block_weights, written

XL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def numbered(count: int) -> tuple[str, ...]:
    """The blocks of a UNet with so many on each side."""
    ins, outs = ([f"{stem}{i:02d}" for i in range(count)] for stem in ("IN", "OUT"))
    return (*ins, "M00", *outs)


def names(config: dict) -> list[tuple[str, str]]:
    """Each tensor of the published network in diffusers' names and in the original ones."""
    with init_empty_weights():
        unet = diffusers.UNet2DConditionModel(**config)
    return list(zip(unet.state_dict(), NAMES["unet"](unet), strict=True))


def as_the_field(name: str, ins: int, outs: int) -> str:
    """bbc-mc's rule, in its own order of questions."""
    if "time_embed" in name:
        return "IN00"
    if name.startswith("out."):
        return f"OUT{outs - 1:02d}"
    for mark, stem in (("input_blocks", "IN"), ("output_blocks", "OUT")):
        if found := re.match(rf"{mark}\.(\d+)\.", name):
            return f"{stem}{int(found[1]):02d}"
    return "M00" if name.startswith("middle_block.") else ""


@pytest.mark.parametrize(
    ("config", "blocks"), [({"cross_attention_dim": 768}, numbered(12)), (XL, numbered(9))]
)
def test_both_layouts_have_the_fields_blocks(config: dict, blocks: tuple[str, ...]) -> None:
    pairs = names(config)
    mine = Blocks(Network.UNET, [one for one, _ in pairs])
    original = Blocks(Network.UNET, [other for _, other in pairs])
    assert mine.names == original.names == blocks
    half = len(blocks) // 2
    for one, other in pairs:
        assert mine.of(one) == original.of(other) == as_the_field(other, half, half), one


@pytest.mark.parametrize(
    ("network", "name", "block"),
    [
        (Network.SD3, "joint_blocks.12.x_block.attn.qkv.weight", "J12"),
        (Network.SD3, "transformer_blocks.3.attn.to_q.weight", "J03"),
        (Network.SD3, "x_embedder.proj.weight", ""),
        (Network.FLUX, "double_blocks.0.img_attn.qkv.weight", "D00"),
        (Network.FLUX, "transformer_blocks.18.attn.to_q.weight", "D18"),
        (Network.FLUX, "single_blocks.37.linear1.weight", "S37"),
        (Network.FLUX, "single_transformer_blocks.7.proj_out.weight", "S07"),
        (Network.FLUX, "img_in.weight", ""),
    ],
)
def test_blocks_of_transformers(network: Network, name: str, block: str) -> None:
    assert Blocks(network, [name]).of(name) == block


def test_double_blocks_come_before_single_ones() -> None:
    listed = ["single_blocks.0.x", "double_blocks.1.x", "double_blocks.0.x", "single_blocks.10.x"]
    assert Blocks(Network.FLUX, listed).names == ("D00", "D01", "S00", "S10")


def test_weights_from_numbers_and_presets() -> None:
    five = ("IN00", "IN01", "M00", "OUT00", "OUT01")
    assert block_weights("", five, 0.5, "blocks") == {}
    given = block_weights("0, .25 0.5,\n0.75 1", five, 0.5, "blocks")
    assert list(given.values()) == [0, 0.25, 0.5, 0.75, 1]
    assert block_weights(written(given), five, 0.1, "blocks") == given
    for name, values in (
        ("flat", [0.8] * 5),
        ("Grad", [0, 0.2, 0.4, 0.6, 0.8]),
        ("GRAD_V", [0.8, 0.4, 0, 0.4, 0.8]),
        ("grad a", [0, 0.4, 0.8, 0.4, 0]),
    ):
        found = block_weights(name, five, 0.8, "blocks")
        assert list(found.values()) == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.5", "1 numbers, but this model has 3 blocks"),
        ("0 0 2", "from 0 to 1, but one is 2"),
        ("0 0 nan", "from 0 to 1, but one is nan"),
        ("steep", "numbers or one of flat, grad, grad v, grad a, but are 'steep'"),
    ],
)
def test_weights_that_are_none(text: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        block_weights(text, ("IN00", "M00", "OUT00"), 0.5, "blocks")
    assert words in str(caught.value)
    assert caught.value.field == "blocks"
