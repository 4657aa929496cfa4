"""What goes through the model in a step: captions, mirrors, noise, sizes, by chance of a seed."""

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from studio.models.catalogue import Catalogue
from studio.requests import validated
from studio.training.assembly import placed_of
from studio.training.cache.kept import Kept
from studio.training.cache.latents import Latents
from studio.training.lessons import VARIANTS, Lessons
from studio.training.noise import Diffusion
from studio.training.pictures.buckets import place
from studio.training.pictures.examples import examples
from studio.training.plan import Slot, seed_of
from studio.training.task import read_task
from studio.training.watching.held_out import Held
from studio.training_requests import TrainRequest

Make = Callable[..., Lessons]


@pytest.fixture
def lessons(training_data, tiny, tmp_path) -> Make:
    """Lessons on the drawings with the autoencoder of a tiny model; fields: of the request."""
    folder = training_data / "models" / tiny("sd")
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    process = Diffusion(diffusers.DDPMScheduler().config)

    def make(**fields: Any) -> Lessons:
        given = {"name": "x", "pictures": "drawings", "prompt": "sks, red, round, big", **fields}
        request = validated(TrainRequest, given)
        found = examples(training_data / "pictures" / "drawings", request)
        placed = place(found, 64, 8)
        held = [Held(placed[-1], mirrored=True)]
        latents = Latents(Kept(tmp_path / "kept"), vae, "tiny")
        return Lessons(request, placed, held, latents, process)

    return make


def captions(made: Lessons, count: int = 400) -> list[str]:
    return [made.of([Slot(0, seed_of("caption", each))]).captions[0] for each in range(count)]


def test_the_share_of_steps_without_a_caption_is_what_was_asked_for(lessons):
    assert set(captions(lessons(), 40)) == {"sks, red, round, big"}
    dropped = captions(lessons(caption_dropout=0.3)).count("")
    assert 0.23 < dropped / 400 < 0.37
    assert set(captions(lessons(caption_dropout=1.0), 20)) == {""}


def test_a_trigger_in_front_stays_there_when_parts_are_shuffled(lessons):
    made = lessons(shuffle_tags=True, trigger="sks", caption_dropout=0.1)
    shown = set(captions(made))
    assert 4 < len(shown) <= VARIANTS + 1
    assert all(each.startswith("sks, ") for each in shown - {""})
    assert {each.split(", ")[1] for each in shown - {""}} == {"red", "round", "big"}
    # The encoders are put away when these have been read.
    assert shown <= set(made.captions())


def test_half_of_the_pictures_are_mirrored_when_asked_for(lessons):
    made = lessons(flip=True)
    plain, mirrored = (made.latents.mean(made.placed[0], flip) for flip in (False, True))
    assert not torch.allclose(plain, mirrored)
    turned = 0
    for each in range(200):
        drawn = made.of([Slot(0, seed_of("flip", each))]).latents[0]
        near = [float((drawn - other).square().mean()) for other in (plain, mirrored)]
        turned += near[1] < near[0]
    assert 70 < turned < 130
    wanted = {(placed.example.name, flip) for placed in made.placed for flip in (False, True)}
    assert {(placed.example.name, flip) for placed, flip in made.pictures()} == wanted


def test_a_slot_is_the_same_whatever_stands_beside_it(lessons):
    made = lessons(flip=True, noise_offset=0.1, caption_dropout=0.5)
    alike = [
        number
        for number, placed in enumerate(made.placed)
        if placed.bucket == made.placed[0].bucket
    ]
    slots = [Slot(number, seed_of("slot", number)) for number in alike]
    together = made.of(slots)
    for at, slot in enumerate(slots):
        alone = made.of([slot])
        assert torch.equal(together.latents[at], alone.latents[0])
        assert torch.equal(together.noise[at], alone.noise[0])
        assert together.places[at] == alone.places[0]
        assert together.captions[at] == alone.captions[0]
    assert len(slots) > 1
    assert not torch.equal(together.noise[0], together.noise[1])


def test_sizes_and_cuts_are_told_in_the_scale_of_the_cut(lessons):
    made = lessons()
    for number, placed in enumerate(made.placed):
        lesson = made.of([Slot(number, 1)])
        (width, height, left, top) = lesson.sizes[0]
        assert lesson.size == placed.bucket
        assert width >= placed.bucket[0] - 1
        assert height >= placed.bucket[1] - 1
        assert left + placed.bucket[0] <= width + 1
        assert top + placed.bucket[1] <= height + 1
        assert lesson.latents.shape[-2:] == (placed.bucket[1] // 2, placed.bucket[0] // 2)


def test_what_is_held_out_is_measured_in_the_same_way_each_time(lessons):
    made = lessons(caption_dropout=1.0)
    one, other = (made.measured(made.held, [0.3], [5]) for _ in range(2))
    assert torch.equal(one.latents, other.latents)
    assert torch.equal(one.noise, other.noise)
    assert one.captions == ("sks, red, round, big",)
    mirrored = made.latents.mean(made.held[0].place, True)
    assert torch.equal(one.latents[0], mirrored)
    assert (made.held[0].place, True) in made.pictures()


def test_pictures_of_several_class_prompts_have_each_its_own(begun, training_data, tiny):
    folder = begun(
        "x", model=tiny("sd"), preservation=True, class_prompt="a dog\na cat", class_pictures=3
    )
    entry = Catalogue(training_data / "models").usable(tiny("sd"))
    own, others = placed_of(read_task(folder.path), entry)
    assert [each.example.caption for each in others] == ["a dog", "a cat", "a dog"]
    assert {each.example.repeats for each in others} == {1}
    assert {each.example.caption for each in own.learnt}.isdisjoint({"a dog", "a cat"})
