"""What follows from the pictures, the method and the model when nobody gives it."""

from pathlib import Path

import pytest

from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.families import FAMILIES
from studio.training.derive import derivations, resolved, trigger_of
from studio.training.pictures.example import Example
from studio.training.rate_table import group_of
from studio.training_requests import Method, Optimiser, TrainRequest


def pictures(count, repeats=1, caption=""):
    return [
        Example(Path(f"{n}.png"), f"{n}.png", f"{n:064}", (640, 480), caption, repeats)
        for n in range(count)
    ]


def model(key="sd1", width=512, height=512, examples=()):
    family = next(family for family in FAMILIES if family.key == key)
    return ModelEntry(
        "base", "Base", Path("base"), False, family, width=width, height=height, examples=examples
    )


def asked(**fields):
    return TrainRequest(**{"name": "rex", "pictures": "dog", **fields})


def said(request, field, count=5, entry=None, **more):
    found = derivations(request, pictures(count), entry or model(), **more)
    return next(each for each in found if each.field == field)


@pytest.mark.parametrize(
    ("count", "batch", "steps", "formula"),
    [
        (5, 1, 500, "100 steps a picture x 5 pictures / batch 1 = 500, at least 400, at most 3,0"),
        (1, 1, 400, "100 steps a picture x 1 picture / batch 1 = 100, at least 400, at most 3,00"),
        (0, 1, 400, "100 steps a picture x 1 picture / batch 1 = 100"),
        (11, 4, 400, "100 steps a picture x 11 pictures / batch 4 = 275"),
        (40, 1, 3000, "100 steps a picture x 36 pictures / batch 1 = 3,600"),
        (400, 1, 4000, "10 passes over 400 pictures / batch 1 = 4,000"),
        (400, 4, 3000, "100 steps a picture x 368 pictures / batch 4 = 9,200"),
    ],
)
def test_steps_follow_from_the_pictures(count, batch, steps, formula):
    found = said(asked(batch_size=batch), "steps", count)
    assert found.value == steps
    assert found.formula.startswith(formula)


def test_steps_of_other_methods():
    inversion = asked(method=Method.TEXTUAL_INVERSION, trigger="sks")
    assert said(inversion, "steps").value == 3000
    whole = asked(method=Method.DREAMBOOTH, whole=True)
    assert said(whole, "steps", 11).value == 1100
    assert said(whole, "steps", 30).value == 1200


def test_repeats_are_seen_in_passes():
    request = asked()
    found = derivations(request, pictures(40, repeats=20), model())
    assert next(each for each in found if each.field == "steps").value == 8000


@pytest.mark.parametrize(
    ("fields", "key", "rate", "text"),
    [
        ({}, "sd1", 1e-4, 5e-5),
        ({}, "sd2-inpaint", 1e-4, 5e-5),
        ({}, "sdxl", 1e-4, 1e-5),
        ({}, "flux-dev", 1e-4, 1e-5),
        ({"method": Method.DREAMBOOTH}, "sd1", 1e-4, 5e-5),
        ({"method": Method.DREAMBOOTH, "whole": True}, "sd1", 2e-6, 1e-6),
        ({"method": Method.FULL}, "sd1", 1e-5, 5e-6),
        ({"method": Method.FULL}, "sdxl", 1e-6, 5e-7),
        ({"optimiser": Optimiser.PRODIGY}, "sd1", 1.0, 1.0),
        ({"optimiser": Optimiser.LION}, "sd1", 2e-5, 1e-5),
        ({"method": Method.TEXTUAL_INVERSION, "trigger": "sks"}, "sd1", 5e-4, 5e-4),
    ],
)
def test_rates_follow_from_method_family_and_optimiser(fields, key, rate, text):
    whole = resolved(asked(**fields), pictures(5), model(key))
    assert whole.learning_rate == pytest.approx(rate)
    assert whole.text_rate == pytest.approx(text)


def test_the_rate_of_an_inversion_goes_with_its_batch():
    request = asked(method=Method.TEXTUAL_INVERSION, trigger="sks", batch_size=4)
    found = said(request, "learning_rate")
    assert found.value == pytest.approx(2e-3)
    assert found.formula.startswith("0.0005 x batch 4, at most 0.005: as in the example")
    many = asked(method=Method.TEXTUAL_INVERSION, trigger="sks", batch_size=64)
    assert said(many, "learning_rate").value == pytest.approx(5e-3)


def test_every_family_has_rates_for_every_method():
    for family in FAMILIES:
        for method in Method:
            for whole in (False, True):
                request = asked(method=method, whole=whole, trigger="sks")
                done = resolved(request, pictures(3), model(family.key))
                assert 0 < done.text_rate <= done.learning_rate
    assert group_of("unheard of") == group_of("sd") == "small"


@pytest.mark.parametrize(
    ("count", "kept"), [(0, 0), (11, 0), (12, 1), (15, 2), (100, 10), (1000, 32)]
)
def test_few_pictures_are_all_learnt_from(count, kept):
    found = said(asked(), "held_out", count)
    assert round(found.value * count) == kept
    assert found.formula.startswith(f"{kept or 'none'} of {count:,}")


def test_pictures_of_the_class():
    request = asked(method=Method.DREAMBOOTH, preservation=True, class_prompt="a dog")
    assert said(request, "class_pictures", 5).value == 100
    assert said(request, "class_pictures", 40).value == 200
    lines = request.model_copy(update={"class_prompt": "\n".join(f"a dog {n}" for n in range(120))})
    assert said(lines, "class_pictures", 5).value == 120
    there = said(request, "class_pictures", 5, class_examples=37)
    assert (there.value, there.formula) == (37, "the 37 that are there")


def test_what_a_method_does_not_use_is_set_but_not_shown():
    request = asked(method=Method.FULL)
    shown = {each.field for each in derivations(request, pictures(5), model())}
    assert shown.isdisjoint({"alpha", "conv_alpha", "text_rate", "class_pictures"})
    done = resolved(request, pictures(5), model())
    assert {name for name, value in done.model_dump().items() if value is None} == {"held_out"}


def test_nothing_is_left_open_and_what_is_given_stays():
    done = resolved(asked(), pictures(5), model(width=768, height=512))
    assert {name for name, value in done.model_dump().items() if value is None} == {"held_out"}
    assert done.model == "base"
    assert done.resolution == 624
    assert (done.alpha, done.micro_batch, done.checkpointing) == (16, 1, False)
    assert (done.sample_every, done.save_every) == (50, 50)
    done = done.model_copy(update={"held_out": 0.0})
    assert resolved(done, pictures(500), model("sdxl", 1024, 1024)) == done
    given = asked(steps=7, sample_every=0, alpha=1, trigger="ohwx", held_out=0.5, model="other")
    done = resolved(given, pictures(5), model())
    assert (done.steps, done.sample_every, done.save_every, done.alpha) == (7, 0, 1, 1)
    assert (done.trigger, done.held_out, done.model) == ("ohwx", 0.5, "other")


def test_a_share_held_out_by_hand_is_not_learnt_from():
    assert said(asked(held_out=0.5), "steps", 20).formula.startswith("100 steps a picture x 10 ")


def test_a_batch_is_shared_by_the_devices():
    assert resolved(asked(batch_size=8), pictures(5), model()).micro_batch == 8
    assert resolved(asked(batch_size=8, processes=3), pictures(5), model()).micro_batch == 3


@pytest.mark.parametrize(
    ("prompt", "class_prompt", "trigger"),
    [
        ("a photo of sks dog", "a photo of a dog", "sks"),
        ("A photo of Sks, the dog.", "a photo of dog", "Sks"),
        ("sks dog", "dog", "sks"),
        ("a photo of ohwx red dog", "a photo of a dog", "ohwx red"),
        ("a sks photo of zwx dog", "a photo of dog", ""),
        ("a photo of a dog", "a photo of a dog", ""),
        ("a photo of sks dog", "", ""),
        ("", "a dog", ""),
        ("a photo of sks dog", "a", ""),
    ],
)
def test_the_trigger_is_what_the_class_lacks(prompt, class_prompt, trigger):
    assert trigger_of(prompt, class_prompt) == trigger


def test_samples_show_the_subject_elsewhere_and_its_class():
    request = asked(prompt="a photo of sks dog", class_prompt="a photo of a dog")
    done = resolved(request, pictures(5), model())
    assert done.trigger == "sks"
    assert done.sample_prompts == (
        "a photo of sks dog",
        "a photo of sks dog on the beach",
        "a photo of a dog",
    )


@pytest.mark.parametrize(
    ("fields", "caption", "prompts"),
    [
        ({"trigger": "sks"}, "a dog", ("sks, a dog", "sks, a dog on the beach", "a dog")),
        ({}, "a dog", ("a dog", "a dog on the beach")),
        ({"trigger": "sks"}, "", ("sks", "sks on the beach")),
        ({"prompt": "SKS dog", "trigger": "sks"}, "no", ("SKS dog", "SKS dog on the beach", "dog")),
        ({}, "", ()),
    ],
)
def test_samples_without_a_class_prompt(fields, caption, prompts):
    done = resolved(asked(**fields), pictures(3, caption=caption), model())
    assert done.sample_prompts == prompts


def test_samples_of_the_model_that_ships_are_like_its_own_prompts():
    """It knows coloured backgrounds, and no beach."""
    entry = Catalogue(Path("/nonexistent")).get("")
    request = asked(prompt="a sks dog", class_prompt="a dog")
    done = resolved(request, pictures(5), entry)
    subject, elsewhere, of_class = done.sample_prompts
    assert subject == "a sks dog"
    assert elsewhere.startswith("a sks dog on a ")
    assert any(text.endswith(elsewhere.removeprefix("a sks dog")) for text in entry.examples)
    assert of_class == "a dog"
    assert done.resolution == entry.width
    loose = resolved(asked(prompt="a dog"), pictures(5), entry)
    assert loose.sample_prompts[-1] == entry.examples[0]


def test_an_inversion_begins_as_its_class():
    request = asked(
        method=Method.TEXTUAL_INVERSION, trigger="sks", class_prompt="a photo of a dog."
    )
    assert resolved(request, pictures(5), model()).initial_word == "dog"
