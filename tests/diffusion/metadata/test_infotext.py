"""The text form: written as AUTOMATIC1111 writes it, read as it reads it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.diffusion.metadata.infotext import parse, write
from studio.requests import GenerationRequest, Sampler, Schedule

TRAPS = [
    "a cat",
    "",
    "two\nlines",
    "\n\n  indented  \n\nend\n",
    "Steps: 20, Sampler: x, CFG scale: 7",
    "x\nNegative prompt: not one\ny",
    'Negative prompt: "quoted", a: b, c: d, e: f',
    "猫, кот, 🐈, ünïcode",
    "tab\tand\u2028separator\x1f",
]
PROMPTS = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200),
)


def request(**fields: object) -> GenerationRequest:
    given_fields = {"cfg_scale": 7, "width": 512, "height": 768, "seed": 42} | fields
    return GenerationRequest(**given_fields)


def lines_of(prompt: str) -> str:
    """What the form can keep of a prompt: its lines without their margins."""
    return "\n".join(line.strip() for line in prompt.split("\n")).lstrip("\n")


def test_text_is_exactly_what_other_tools_write():
    text = write(
        request(
            prompt="a lighthouse,\nat dusk",
            negative_prompt="blurry",
            schedule=Schedule.KARRAS,
            variation_seed=7,
            variation_strength=0.25,
            clip_skip=2,
        ),
        "dream shaper",
        "45dee52b",
        "0.1.0",
    )
    assert text == (
        "a lighthouse,\nat dusk\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, "
        "Size: 512x768, Model hash: 45dee52b, Model: dream shaper, Variation seed: 7, "
        "Variation seed strength: 0.25, Clip skip: 2, RNG: CPU, Version: Atelier v0.1.0"
    )


def test_lines_without_a_value_are_left_out():
    text = write(request(prompt="a", cfg_scale=6.5, variation_seed=3), "", "", "0.1.0")
    assert text == (
        "a\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 6.5, Seed: 42, "
        "Size: 512x768, RNG: CPU, Version: Atelier v0.1.0"
    )


@pytest.mark.parametrize("name", ["a, b", "a: b", "a\nb", 'say "hi", twice', "C:\\models\\x, y"])
def test_values_with_signs_of_the_form_are_quoted(name):
    text = write(request(prompt="p"), name, "", "0.1.0")
    assert parse(text).fields["Model"] == name
    assert text.count("\n") == 1


@given(PROMPTS, PROMPTS)
def test_settings_survive_any_prompt(prompt, negative):
    asked = request(prompt=prompt, negative_prompt=negative, sampler=Sampler.EULER_A)
    fields = parse(write(asked, "m", "h", "0.1.0")).fields
    assert fields["Sampler"] == "Euler a"
    assert (fields["Size-1"], fields["Size-2"]) == ("512", "768")
    assert fields["Seed"] == "42"


@given(PROMPTS, PROMPTS)
def test_prompts_come_back_line_by_line(prompt, negative):
    asked = request(prompt=prompt, negative_prompt=negative)
    info = parse(write(asked, "m", "h", "0.1.0"))
    marks = [line.strip().startswith("Negative prompt:") for line in asked.prompt.split("\n")]
    if any(marks) or "\nNegative prompt:" in lines_of(f"\n{asked.negative_prompt}"):
        return
    # The text as a whole is stripped, which reaches the prompt only where nothing precedes it.
    assert info.prompt.strip() == lines_of(asked.prompt).strip()
    assert info.negative_prompt.strip() == lines_of(asked.negative_prompt).strip()


def test_a_line_of_settings_inside_the_prompt_is_prompt():
    text = write(request(prompt="Steps: 20, Sampler: x, CFG scale: 7"), "m", "h", "0.1.0")
    info = parse(text)
    assert info.prompt == "Steps: 20, Sampler: x, CFG scale: 7"
    assert info.fields["Sampler"] == "DPM++ 2M"


def test_fewer_than_three_pairs_are_prompt():
    info = parse("portrait\nstyle: oil, light: soft")
    assert info.prompt == "portrait\nstyle: oil, light: soft"
    assert info.fields == {}


def test_windows_newlines_and_margins_are_no_part_of_it():
    info = parse("  a cat \r\nNegative prompt:  dog \r\nbird\r\nSteps: 9, Seed: 1, Size: 64x96\r\n")
    assert info.prompt == "a cat"
    assert info.negative_prompt == "dog\nbird"
    assert info.fields == {"Steps": "9", "Seed": "1", "Size-1": "64", "Size-2": "96"}


def test_quoted_values_keep_their_commas():
    line = 'Steps: 20, Lora hashes: "a: 12, b: 34", Note: "broken, Seed: 5, Size: 8x8'
    fields = parse(line).fields
    assert fields["Lora hashes"] == "a: 12, b: 34"
    assert fields["Note"] == '"broken'
    assert fields["Seed"] == "5"


@given(st.text())
def test_anything_can_be_parsed(text):
    parse(text)


@pytest.mark.parametrize("line", ["a" * 10**6, " " * 10**6 + "x", 'kk: "' * 30_000, "a b" * 60_000])
def test_hostile_lines_take_no_time(line):
    began = time.perf_counter()
    parse(f"x\n{line}y")
    assert time.perf_counter() - began < 5
