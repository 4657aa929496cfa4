"""The list of things, their captions, and what is held out of training."""

import re
from collections import Counter

import numpy as np
import pytest

from training.embedded.captions import STYLE, UNNAMED, Shown, caption, has_colour_word
from training.embedded.sets import ALLOWED_LICENCES, SETS, STYLES
from training.embedded.split import (
    colour_held_out,
    ground_held_out,
    pair_held_out,
    style_held_out,
)
from training.embedded.things import article, by_name, things
from training.embedded.variants import COLOURS, GROUNDS


def test_there_are_things_of_every_kind_and_no_word_names_two():
    kinds = Counter(thing.kind for thing in things())
    assert len(things()) >= 300
    assert set(kinds) == {
        "animals", "plants", "food", "vehicles", "buildings", "sky", "objects", "faces",
    }  # fmt: skip
    words = [word for thing in things() for word in (thing.name, *thing.words)]
    assert len(words) == len(set(words))


def test_a_word_for_two_things_is_refused(tmp_path, monkeypatch):
    listed = tmp_path / "things.txt"
    listed.write_text("[food]\napple | fruit\npear | fruit\n")
    monkeypatch.setattr("training.embedded.things.LIST", listed)
    with pytest.raises(ValueError, match="'fruit' names both 'apple' and 'pear'"):
        things.__wrapped__()


def test_only_free_licences_without_share_alike_are_used():
    assert {art.licence for art in SETS} <= set(ALLOWED_LICENCES)
    assert not any("SA" in licence for licence in ALLOWED_LICENCES)
    assert len(STYLES) == len(set(STYLES)) >= 6


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("cat", "a cat"),
        ("owl", "an owl"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("ufo", "a ufo"),
        ("hourglass", "an hourglass"),
        ("orange house", "an orange house"),
    ],
)
def test_articles(words, wanted):
    assert article(words) == wanted


def test_what_is_not_counted_has_no_article():
    assert by_name()["grapes"].phrase(before="blue") == "blue grapes"
    assert by_name()["apple"].phrase("red apple") == "a red apple"


def captions(shown, other=None, count=400):
    rng = np.random.default_rng(0)
    return [caption(shown, rng, other) for _ in range(count)]


def test_captions_say_what_is_shown_and_nothing_else():
    made = captions(Shown("cat", "noto", "blue", ground="orange"))
    empty = made.count("")
    assert 20 < empty < 65
    bare = made.count("blue")
    assert 2 < bare < 25
    made = [text for text in made if text not in {"", "blue"}]
    nameless = [text for text in made if text.startswith("a blue emoji")]
    assert 10 < len(nameless) < 55
    assert sum("noto style" in text for text in nameless) > 0.7 * len(nameless)
    made = [text for text in made if text not in nameless]
    for text in made:
        assert re.search("(cat|kitten)", text)
        assert "an orange background" in text or ", orange background" in text
        assert not any(style in text for style in set(STYLES) - {"noto"})
    styled = sum("noto style" in text for text in made)
    assert abs(styled / len(made) - STYLE) < 0.1
    named = sum("blue cat" in text or "blue kitten" in text for text in made)
    assert abs(named / len(made) - (1 - UNNAMED)) < 0.1
    assert sum("blue" in text for text in made) == named


def test_a_synonym_with_a_colour_never_meets_another_colour():
    made = captions(Shown("apple", "flat", "blue"))
    assert not any("red" in text for text in made)
    assert "a picture of an apple" in {text.partition(",")[0] for text in made}, "of another colour"
    assert any("red apple" in text for text in captions(Shown("apple", "flat", native="red")))
    made = captions(Shown("green apple", "flat", "blue"))
    assert all("blue" in text for text in made if "green" in text), "its name would be wrong"
    assert has_colour_word("green apple")
    assert not has_colour_word("blueberries")


def test_the_caption_of_a_pair_names_the_left_one_first():
    made = captions(Shown("cat", "noto"), Shown("umbrella", "noto"))
    assert all(re.match(r"a (cat|kitten) and an umbrella", text) for text in filter(None, made))


def test_held_out_shares_are_near_what_is_wanted_and_never_change():
    names = [thing.name for thing in things()]
    colours = [colour_held_out(name, colour) for name in names for colour in COLOURS]
    grounds = [ground_held_out(name, ground) for name in names for ground in GROUNDS]
    styles = [style_held_out(name, style) for name in names for style in STYLES]
    pairs = [pair_held_out(one, other) for one in names[:60] for other in names[:60]]
    assert np.mean(colours) == pytest.approx(0.15, abs=0.02)
    assert np.mean(grounds) == pytest.approx(0.15, abs=0.02)
    assert np.mean(styles) == pytest.approx(0.05, abs=0.015)
    assert np.mean(pairs) == pytest.approx(0.2, abs=0.03)
    assert pair_held_out("cat", "dog") == pair_held_out("dog", "cat")
    held = [
        (thing.name, c) for thing in things() for c in COLOURS if colour_held_out(thing.name, c)
    ]
    assert len(held) == 424
