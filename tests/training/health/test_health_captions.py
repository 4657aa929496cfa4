"""Captions: what is missing, not text, too long or all the same."""

from dataclasses import replace
from pathlib import Path

import pytest
from drawn import words
from hypothesis import given
from hypothesis import strategies as st

from studio.training.health import captions
from studio.training.health.caption_file import CaptionFile, Text, read_caption
from studio.training.health.finding import FixKind, Kind, Severity
from studio.training.health.looked import Looked
from studio.training.health.seen import Seen, Sight
from studio.training.pictures.example import Example
from studio.training_requests import CaptionSource, Pictures

SIGHT = Sight(512, count_tokens=words, limit=8)


def wanted(**more: object) -> Pictures:
    return Pictures.model_validate({"pictures": "set"} | more)


def told(name: str, text: str | None = None, prompt: str = "", holds: Text = Text.TEXT) -> Seen:
    """A picture with a caption file of this text, or with none and so with the prompt."""
    file = CaptionFile() if text is None else CaptionFile(holds, text)
    example = Example(Path(name), name, "", (512, 512), text or prompt)
    return Seen(example, Looked(size=(512, 512)), file)


@pytest.mark.parametrize(
    ("data", "holds", "text"),
    [
        (b"a red ball\n", Text.TEXT, "a red ball"),
        ("﻿a r\u00e9d ball".encode(), Text.TEXT, "a r\u00e9d ball"),
        (b" \n", Text.EMPTY, ""),
        ("a r\u00e9d ball".encode("latin-1"), Text.FOREIGN, "a r\u00e9d ball"),
        ("\u201cred\u201d".encode("cp1252"), Text.FOREIGN, "\u201cred\u201d"),
        ("a ball".encode("utf-16"), Text.FOREIGN, "a ball"),
        (b"a \0 ball", Text.BINARY, ""),
        (b"\x89PNG\r\n\x1a\n", Text.BINARY, ""),
        (b"\xff\xfe\x00", Text.BINARY, ""),
        (b"x" * 1_000_001, Text.BINARY, ""),
    ],
)
def test_what_a_caption_file_holds(tmp_path, data, holds, text):
    (tmp_path / "a.txt").write_bytes(data)
    assert read_caption(tmp_path / "a.png") == CaptionFile(holds, text)
    assert read_caption(tmp_path / "b.png") == CaptionFile()
    (tmp_path / "a.txt").rename(tmp_path / "a.caption")
    assert read_caption(tmp_path / "a.png") == CaptionFile(holds, text)
    (tmp_path / "a.txt").write_text("first")
    assert read_caption(tmp_path / "a.png").text == "first"


def test_files_that_are_no_text_stop_and_foreign_ones_are_written_anew():
    some = [
        told("good.png", "a ball"),
        told("bad.png", "", holds=Text.BINARY),
        told("latin.png", "caf\u00e9", holds=Text.FOREIGN),
    ]
    binary, foreign = captions.written(some, wanted())
    assert (binary.kind, binary.severity) == (Kind.CAPTION_BINARY, Severity.STOP)
    assert binary.pictures == binary.fix.arguments.pictures == ("bad.png",)
    assert binary.fix.kind is FixKind.LEAVE_CAPTIONS_OUT
    assert foreign.fix.arguments.captions == ("caf\u00e9",)
    assert "caf\u00e9" in foreign.sentence
    assert captions.written(some, wanted(captions="prompt")) == []
    assert captions.missing([some[1]], wanted()) == []


def test_missing_captions():
    prompt = "a photo of sks dog"
    bare, own = told("bare.png", prompt=prompt), told("own.png", "sks dog on grass")
    assert captions.missing([own], wanted(prompt=prompt)) == []
    assert captions.missing([bare, bare], wanted(prompt=prompt)) == []  # one prompt for all
    (finding,) = captions.missing([bare, own], wanted(prompt=prompt))
    assert (finding.severity, finding.pictures) == (Severity.HINT, ("bare.png",))
    assert finding.fix.arguments.captions == (prompt,)

    (finding,) = captions.missing([told("a.png"), own], wanted())
    assert (finding.severity, finding.fix) == (Severity.WARN, None)
    (finding,) = captions.missing([told("a.png"), own], wanted(captions="files", prompt=prompt))
    assert finding.severity is Severity.WARN
    assert finding.fix.arguments.captions == (prompt,)
    empty = told("b.png", "", holds=Text.EMPTY)
    assert captions.missing([empty, own], wanted())[0].pictures == ("b.png",)
    assert captions.missing([told("a.png")], wanted(captions="names")) == []


@pytest.mark.parametrize(
    ("prompt", "trigger", "caption"),
    [("a dog", "sks", "sks, a dog"), ("a sks dog", "sks", "a sks dog"), ("", "sks", "sks")],
)
def test_what_is_said_of_all_is_no_caption_of_its_own(prompt, trigger, caption):
    """With the trigger before it too, as a set's reader puts it."""
    request = wanted(prompt=prompt, trigger=trigger)
    bare = told("bare.png", prompt=caption)
    (finding,) = captions.missing([bare, told("own.png", "sks on grass")], request)
    assert (finding.severity, finding.pictures) == (Severity.HINT, ("bare.png",))
    assert captions.missing([bare, bare], request) == []


def test_captions_from_elsewhere_are_captions():
    """From metadata.jsonl there is no file beside the picture."""
    example = Example(Path("a.png"), "a.png", "", (512, 512), "a ball on the grass")
    from_list = Seen(example, Looked(size=(512, 512)))
    assert captions.missing([from_list], wanted(prompt="a ball")) == []


def test_long_captions_are_cut_at_a_comma():
    fits = told("fits.png", "one, two, three, four")  # 7
    over = told("over.png", "one, two, three, four, five")  # 9
    (finding,) = captions.long([fits, over], wanted(), SIGHT)
    assert (finding.kind, finding.pictures) == (Kind.CAPTION_LONG, ("over.png",))
    assert "9 tokens" in finding.sentence
    assert finding.fix.arguments.captions == ("one, two, three, four",)
    # The trigger, which will be put before them, counts.
    (finding,) = captions.long([fits, over], wanted(trigger="sks"), SIGHT)
    assert finding.pictures == ("over.png", "fits.png")
    assert finding.fix.arguments.captions == ("one, two, three", "one, two, three")
    assert captions.long([over], wanted(), Sight(512)) == []


def test_a_long_prompt_is_for_the_person_to_shorten():
    prompt = "one two three four five six seven eight nine"
    (finding,) = captions.long([told("a.png", prompt=prompt)], wanted(prompt=prompt), SIGHT)
    assert finding.fix is None
    assert "shorten the prompt" in finding.sentence


def test_a_missing_trigger():
    own = [told("a.png", "a dog"), told("b.png", "a photo of SKS dog"), told("c.png", "asks a dog")]
    (finding,) = captions.without_trigger([*own, told("d.png")], wanted(trigger="sks"))
    assert finding.pictures == ("a.png", "c.png")
    assert finding.fix.arguments.captions == ("sks, a dog", "sks, asks a dog")
    ready = replace(own[0], example=replace(own[0].example, caption="sks, a dog"))
    (finding,) = captions.without_trigger([ready], wanted(trigger="sks"))
    assert finding.fix.arguments.captions == ("sks, a dog",)
    assert captions.without_trigger(own, wanted()) == []
    assert captions.without_trigger(own, wanted(trigger="sks", captions="prompt")) == []


@pytest.mark.parametrize("trigger", ["<cat-toy>", "c++", "s.k", "\u732b"])
def test_triggers_are_plain_text(trigger):
    assert captions.has_trigger(f"a photo of {trigger} on a table", trigger)
    assert not captions.has_trigger("a photo of a table, szk, ccc, cat", trigger)


def test_captions_that_say_the_same():
    same = [told(f"{n}.png", "A  dog" if n else "a dog") for n in range(4)]
    (finding,) = captions.the_same(same, wanted())
    assert (finding.kind, finding.severity) == (Kind.SAME_CAPTIONS, Severity.HINT)
    assert captions.the_same([*same, told("x.png", "a cat")], wanted()) == []
    assert captions.the_same(same[:2], wanted()) == []
    assert captions.the_same([told(f"{n}.png", prompt="a dog") for n in range(5)], wanted()) == []


def test_one_caption_file_for_two_pictures_is_written_once():
    prompt = "a dog"
    both = [told("a.png", prompt=prompt), told("a.jpg", prompt=prompt), told("b.png", "own")]
    (finding,) = captions.missing(both, wanted(prompt=prompt))
    assert finding.pictures == ("a.png", "a.jpg")
    assert finding.fix.arguments.pictures == ("a.png",)


@given(st.text("ab, ", max_size=60), st.integers(0, 20))
def test_a_shortened_caption_fits_and_is_a_beginning(caption, limit):
    made = captions.shortened(caption, lambda text: words(text) <= limit)
    assert words(made) <= limit or made == ""
    assert caption.strip().startswith(made)
    assert not made.endswith(",")


def test_a_long_first_part_is_cut_at_a_word():
    text = "one two three four, five"
    assert captions.shortened(text, lambda text: words(text) <= 3) == "one two three"
    assert captions.shortened("word", lambda text: False) == ""


def test_all_sources_are_known():
    for source in CaptionSource:
        some = [told("a.png", "a dog"), told("b.png")]
        captions.missing(some, wanted(captions=source))
