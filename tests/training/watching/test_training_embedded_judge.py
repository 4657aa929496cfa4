"""The judge that ships: subjects that it has never seen, and prompts of things that it knows."""

from dataclasses import replace

import numpy as np
import pytest
from judge.calibrate import auc, measured, round_trip
from judge.fit import on_background, recoloured, references
from PIL import Image

from studio.errors import DataError, ModelError
from studio.training.watching.embedded_judge.asked import Asked, asked
from studio.training.watching.embedded_judge.judge import EmbeddedJudge
from studio.training.watching.embedded_judge.naming import Namer
from studio.training.watching.embedded_judge.picture import main_colour
from studio.training.watching.judge import installed

HELD = ("cat", "guitar", "rocket", "snail", "robot")
THINGS = ("cat", "cat face", "dog", "hot dog", "t-shirt", "cup of coffee", "banana", "peach")


@pytest.fixture(scope="module")
def pictures():
    return references()


@pytest.fixture(scope="module")
def judge() -> EmbeddedJudge:
    return EmbeddedJudge()


def first_of(pictures, thing: str) -> Image.Image:
    """A reference of a thing, in the set that comes first."""
    return pictures.images[int(np.flatnonzero(pictures.things == thing)[0])]


def test_samples_of_a_subject_are_told_from_other_things(pictures):
    """References of the things are taken from the judge; judge.calibrate fits it anew, too."""
    namer = Namer.load()
    known = ~np.isin(namer.things, HELD)
    namer = replace(namer, things=namer.things[known], rows=namer.rows[known])
    subjects = [int(np.flatnonzero(pictures.things == each)[i % 3]) for i, each in enumerate(HELD)]
    scores = measured(namer, pictures, subjects, range(7, 2333, 97), round_trip())
    assert len(scores.samples) == 20
    assert auc(scores.samples, scores.others) > 0.998
    assert auc(scores.samples, scores.alike) > 0.93
    least = EmbeddedJudge.same_subject
    assert np.mean(np.array(scores.samples) >= least) >= 0.9
    assert np.mean(np.array(scores.others) >= least) <= 0.01


def test_the_same_picture_scores_1_and_so_does_its_mirror_image(judge, pictures):
    image = first_of(pictures, "guitar")
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert judge.subject([image, mirrored], [image]) == pytest.approx([1, 1], abs=0.01)


def test_another_colour_is_less_the_subject(judge, pictures):
    image = first_of(pictures, "t-shirt")
    same, other = judge.subject([image, recoloured(image, 0.5)], [image])
    assert other < same - 0.1


def test_the_nearest_reference_counts(judge, pictures):
    image, other = first_of(pictures, "guitar"), first_of(pictures, "cat")
    alone, both = (judge.subject([image], each)[0] for each in ([other], [other, image]))
    assert alone < 0.3
    assert both == pytest.approx(1, abs=0.01)


def test_without_references_it_refuses_and_without_samples_it_has_no_scores(judge, pictures):
    with pytest.raises(DataError, match="no training pictures"):
        judge.subject([first_of(pictures, "cat")], [])
    assert judge.subject([], [first_of(pictures, "cat")]) == []
    assert judge.alike([], []).shape == (0, 0)
    assert judge.prompt([], []) == []


def test_prompts_are_scored_by_what_the_picture_shows(judge, pictures):
    apple, guitar = first_of(pictures, "apple"), first_of(pictures, "guitar")
    right, wrong, unknown = judge.prompt(
        [apple, apple, apple], ["a photo of an apple", "a guitar", "a photo of a sks thing"]
    )
    assert right > 0.9
    assert wrong < 0.1
    assert unknown is None
    assert judge.prompt([guitar], ["two guitars"])[0] > 0.9


def test_the_colour_is_half_of_a_prompt_that_names_one(judge, pictures):
    tomato = first_of(pictures, "tomato")
    own = main_colour(tomato)
    prompts = ["a tomato", f"a {own} tomato", "a blue tomato"]
    plain, right, wrong = judge.prompt([tomato] * 3, prompts)
    assert right == pytest.approx((plain + 1) / 2)
    assert wrong == pytest.approx(plain / 2)


def test_either_of_two_things_may_stand_on_the_left(judge, pictures):
    canvas = Image.new("RGB", (128, 128), (70, 120, 160))
    for i, thing in enumerate(("banana", "umbrella")):
        image = pictures.images[np.flatnonzero(pictures.things == thing)[2]]
        canvas.paste(on_background(image, (70, 120, 160)).resize((64, 64)), (64 * i, 32))
    found = judge.prompt([canvas] * 2, ["a banana and an umbrella", "an umbrella and a banana"])
    assert found[0] == found[1] > 0.4
    assert judge.prompt([canvas], ["a guitar and a rocket"])[0] < 0.1


def test_noise_shows_nothing(judge):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype="u1")
    assert judge.prompt([Image.fromarray(noise)], ["a cat"]) == [0.0]


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a cat", [Asked("cat")]),
        ("A photo of a red sks Cat!", [Asked("cat", "red")]),
        ("a cat face on a red ground", [Asked("cat face")]),
        ("a cat on a red background with a dog", [Asked("cat"), Asked("dog")]),
        ("a gray cat and a blue dog", [Asked("cat", "grey"), Asked("dog", "blue")]),
        ("hot dogs", [Asked("hot dog")]),
        ("cats and cats, peaches", [Asked("cat"), Asked("peach")]),
        ("<lora:cat:1> a t-shirt", [Asked("t-shirt")]),
        ("(cup of coffee:1.2), catalogue", [Asked("cup of coffee")]),
        ("sks_cat 7", [Asked("cat")]),
        ("", []),
        ("ein Bär, 猫, \n\0", []),
    ],
)
def test_what_a_prompt_asks_for(prompt, found):
    assert asked(prompt, THINGS) == found


def test_a_damaged_judge_says_so(tmp_path):
    file = tmp_path / "judge.npz"
    for content in (b"", b"no zip"):
        file.write_bytes(content)
        with pytest.raises(ModelError, match="install the studio again"):
            Namer.load(file)


def test_it_is_always_installed(tmp_path):
    judges = installed(tmp_path / "nowhere")
    assert [type(judge) for judge in judges] == [EmbeddedJudge]
    assert judges[0].name == "the studio's judge of drawings"
