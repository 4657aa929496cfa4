"""Text encoding: diffusers' states where it has them, and weights, chunks and schedules beyond."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from studio.diffusion import conditioning
from studio.diffusion.clip import ClipTexts, Encoders
from studio.diffusion.conditioning import CHUNK_LIMIT, TextStates, pad_together, weigh
from studio.diffusion.prompt import PromptPlan, plan
from studio.errors import PromptError, RequestError

MODELS = Path(__file__).parents[2] / "assets" / "models"
FOLDER = next(path.parent for path in sorted(MODELS.glob("*/model_index.json")))
PROMPTS = ["", "a red cat", "Three  blue DOGS,\non a table; 12:30!", r"a \(small\) sun", "ü 猫 🙂"]


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")


@pytest.fixture(scope="module")
def sd(tokenizer: CLIPTokenizer) -> Encoders:
    encoder = CLIPTextModel.from_pretrained(FOLDER / "text_encoder", dtype=torch.float32)
    return [(tokenizer, encoder.eval())]


@pytest.fixture(scope="module")
def sd_pipe(sd: Encoders) -> StableDiffusionPipeline:
    [(tokenizer, encoder)] = sd
    return StableDiffusionPipeline(
        vae=None,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=None,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module")
def xl(tokenizer: CLIPTokenizer) -> Encoders:
    """SDXL's two text encoders, tiny: other widths, depths, and another padding token."""
    torch.manual_seed(0)
    second = CLIPTokenizer.from_pretrained(FOLDER / "tokenizer", pad_token="!")
    configs = [
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            projection_dim=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        for width, layers in ((16, 4), (32, 5))
    ]
    return [
        (tokenizer, CLIPTextModel(configs[0]).eval()),
        (second, CLIPTextModelWithProjection(configs[1]).eval()),
    ]


@pytest.fixture(scope="module")
def xl_pipe(xl: Encoders) -> StableDiffusionXLPipeline:
    (tokenizer, encoder), (tokenizer_2, encoder_2) = xl
    return StableDiffusionXLPipeline(
        vae=None,
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=None,
        scheduler=None,
        add_watermarker=False,
    )


def encode(encoders: Encoders, text: str, clip_skip: int = 1) -> TextStates:
    return conditioning.encode(ClipTexts(encoders), text, clip_skip)


def prompt_states(
    encoders: Encoders, wanted: PromptPlan, clip_skip: int = 1
) -> conditioning.PromptStates:
    return conditioning.PromptStates(ClipTexts(encoders), wanted, clip_skip)


def unescaped(prompt: str) -> str:
    return prompt.replace("\\", "")


# --- equality with diffusers --------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS)
def test_plain_prompts_are_those_of_diffusers(
    sd: Encoders, sd_pipe: StableDiffusionPipeline, prompt: str
) -> None:
    expected, _ = sd_pipe.encode_prompt(unescaped(prompt), "cpu", 1, False)
    states = encode(sd, prompt)
    assert torch.equal(states.embeds, expected)
    assert states.pooled is None


@pytest.mark.parametrize("clip_skip", [2, 3, 4])
def test_clip_skip_is_that_of_diffusers(
    sd: Encoders,
    sd_pipe: StableDiffusionPipeline,
    clip_skip: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not hasattr(sd[0][1], "text_model"):
        # diffusers 0.42 looks for the layers where transformers 5 no longer keeps them.
        monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    expected, _ = sd_pipe.encode_prompt("a red cat", "cpu", 1, False, clip_skip=clip_skip - 1)
    assert torch.equal(encode(sd, "a red cat", clip_skip).embeds, expected)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_plain_prompts_are_those_of_diffusers_for_sdxl(
    xl: Encoders, xl_pipe: StableDiffusionXLPipeline, prompt: str
) -> None:
    expected = xl_pipe.encode_prompt(
        unescaped(prompt), device="cpu", do_classifier_free_guidance=False
    )
    states = encode(xl, prompt)
    assert torch.equal(states.embeds, expected[0])
    assert states.pooled is not None
    assert torch.equal(states.pooled, expected[2])


@pytest.mark.parametrize("clip_skip", [2, 3])
def test_clip_skip_is_that_of_diffusers_for_sdxl(
    xl: Encoders, xl_pipe: StableDiffusionXLPipeline, clip_skip: int
) -> None:
    expected = xl_pipe.encode_prompt(
        "a red cat", device="cpu", do_classifier_free_guidance=False, clip_skip=clip_skip - 1
    )
    assert torch.equal(encode(xl, "a red cat", clip_skip).embeds, expected[0])


def test_clip_skip_beyond_the_layers_is_refused(sd: Encoders, xl: Encoders) -> None:
    # SDXL skips one layer to begin with, and its shallower encoder here has four.
    for encoders, most in ((sd, sd[0][1].config.num_hidden_layers), (xl, 3)):
        encode(encoders, "a cat", most)
        with pytest.raises(
            RequestError, match=f"between 1 and {most} .* but is {most + 1}"
        ) as told:
            encode(encoders, "a cat", most + 1)
        assert told.value.field == "clip_skip"


def test_states_have_the_dtype_of_the_encoder(xl: Encoders) -> None:
    half = [(tokenizer, encoder.to(torch.bfloat16)) for tokenizer, encoder in xl]
    try:
        states = encode(half, "a (red:1.4) cat")
    finally:
        for _, encoder in xl:
            encoder.to(torch.float32)
    assert states.embeds.dtype == torch.bfloat16
    assert states.pooled is not None
    assert states.pooled.dtype == torch.bfloat16


# --- weights ------------------------------------------------------------------------------------


def test_weights_move_the_states_the_more_the_further_from_one(sd: Encoders) -> None:
    plain = encode(sd, "a red cat").embeds
    moved = [
        (encode(sd, f"a (red:{weight}) cat").embeds - plain).norm().item()
        for weight in (1.0, 1.1, 1.3, 1.6, 2.0)
    ]
    assert moved == sorted(moved)
    assert len(set(moved)) == len(moved)
    assert moved[0] == 0


def test_a_weight_multiplies_its_own_tokens_and_keeps_the_mean(sd: Encoders) -> None:
    plain = encode(sd, "a red cat").embeds
    heavy = encode(sd, "a (red:1.5) cat").embeds
    ratio = heavy / plain
    # Borders and words around share one factor, which restores the mean; "red" has 1.5 times it.
    common = ratio[0, 0, 0]
    assert torch.allclose(ratio[0, [0, 1, 3, 4, 76]], common, rtol=1e-3)
    assert torch.allclose(ratio[0, 2], 1.5 * common, rtol=1e-3)
    assert torch.allclose(heavy.mean(), plain.mean(), rtol=1e-3, atol=0)


def test_a_weight_for_everything_leaves_only_borders_lighter(sd: Encoders) -> None:
    # The chunk's mean is kept, so that one weight for all words moves them against the rest.
    plain, heavy = (encode(sd, text).embeds for text in ("a red cat", "(a red cat:2)"))
    ratio = (heavy / plain)[0]
    assert torch.allclose(ratio[1:4], 2 * ratio[0, 0], rtol=1e-3)


def test_pooled_states_have_no_weights(xl: Encoders) -> None:
    plain, heavy = encode(xl, "a red cat"), encode(xl, "a (red:1.7) cat")
    assert plain.pooled is not None
    assert heavy.pooled is not None
    assert torch.equal(plain.pooled, heavy.pooled)
    assert not torch.allclose(plain.embeds, heavy.embeds)


def test_a_mean_of_zero_is_not_divided_by() -> None:
    states = torch.tensor([[[1.0, -1.0], [2.0, -2.0]]])
    weighed = weigh(states, torch.tensor([1.0, 3.0]))
    assert torch.equal(weighed, torch.tensor([[[1.0, -1.0], [6.0, -6.0]]]))
    assert torch.equal(weigh(states, torch.zeros(2)), torch.zeros(1, 2, 2))


# --- chunks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd", "xl"])
def test_long_prompts_are_the_states_of_their_chunks(
    name: str, request: pytest.FixtureRequest
) -> None:
    encoders = request.getfixturevalue(name)
    words = ["cat"] * 74 + ["dog"] * 76
    whole = encode(encoders, " ".join(words))
    halves = [encode(encoders, " ".join(part)) for part in (words[:75], words[75:])]
    assert whole.embeds.shape[1] == 2 * 77
    assert torch.equal(whole.embeds, torch.cat([half.embeds for half in halves], dim=1))
    if whole.pooled is not None:
        assert torch.equal(whole.pooled, halves[0].pooled)


def test_break_starts_a_chunk(sd: Encoders) -> None:
    parts = [encode(sd, text).embeds for text in ("a red cat", "a (blue:1.3) dog")]
    assert torch.equal(
        encode(sd, "a red cat BREAK a (blue:1.3) dog").embeds, torch.cat(parts, dim=1)
    )
    assert torch.equal(encode(sd, "a red cat BREAK").embeds, parts[0])


def test_every_chunk_keeps_its_own_mean(sd: Encoders) -> None:
    whole = encode(sd, "a (red:2) cat BREAK a blue dog").embeds
    assert torch.equal(whole[:, 77:], encode(sd, "a blue dog").embeds)


def test_too_many_chunks_are_refused(sd: Encoders) -> None:
    with pytest.raises(PromptError, match="chunks of tokens"):
        encode(sd, "BREAK " * (CHUNK_LIMIT + 1))
    with pytest.raises(PromptError, match="chunks of tokens"):
        prompt_states(sd, plan("[a|b]" + "BREAK x " * (CHUNK_LIMIT * 2 // 3), 4))


# --- plans --------------------------------------------------------------------------------------


def test_a_plan_encodes_each_text_once(sd: Encoders) -> None:
    encoder = sd[0][1]
    calls: list[int] = []
    handle = encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        states = prompt_states(sd, plan("a [red|blue] cat AND a dog :0.5", 20))
    finally:
        handle.remove()
    assert len(calls) == 4  # red, blue, dog and the empty prompt

    for step, text in ((1, "a red cat"), (2, "a blue cat"), (19, "a red cat"), (20, "a blue cat")):
        (first, composed), (second, dog) = states.at(step)
        assert (first, second) == (1.0, 0.5)
        assert torch.equal(composed.embeds, encode(sd, text).embeds)
        assert torch.equal(dog.embeds, encode(sd, "a dog").embeds)


def test_a_plan_uses_its_clip_skip(sd: Encoders) -> None:
    states = prompt_states(sd, plan("a cat", 5), clip_skip=2)
    assert torch.equal(states.at(1)[0][1].embeds, encode(sd, "a cat", 2).embeds)
    assert torch.equal(states.empty.embeds, encode(sd, "", 2).embeds)


def test_padding_appends_empty_chunks(xl: Encoders) -> None:
    empty = encode(xl, "")
    short, long = encode(xl, "a cat"), encode(xl, "a BREAK b BREAK c")
    padded = pad_together([short, long], empty)
    assert [item.embeds.shape[1] for item in padded] == [3 * 77, 3 * 77]
    assert torch.equal(
        padded[0].embeds, torch.cat([short.embeds, empty.embeds, empty.embeds], dim=1)
    )
    assert padded[0].pooled is short.pooled
    assert torch.equal(padded[1].embeds, long.embeds)
    assert torch.equal(pad_together([short], empty)[0].embeds, short.embeds)


class Terse:
    """A tokenizer that knows only the first word."""

    def __init__(self, tokenizer: CLIPTokenizer):
        self._tokenizer = tokenizer

    def __call__(self, text: str, **options: bool) -> SimpleNamespace:
        return SimpleNamespace(input_ids=self._tokenizer(text, **options).input_ids[:1])

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)


def test_encoders_that_count_differently_get_as_many_chunks(xl: Encoders) -> None:
    text = "cat " * 80
    states = encode([xl[0], (Terse(xl[1][0]), xl[1][1])], text)
    width = xl[0][1].config.hidden_size
    assert torch.equal(states.embeds[..., :width], encode(xl, text).embeds[..., :width])
    second = torch.cat([encode(xl, "cat").embeds, encode(xl, "").embeds], dim=1)
    assert torch.equal(states.embeds[..., width:], second[..., width:])
