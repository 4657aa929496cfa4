"""What is held out, and that its measure depends on the weights alone."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from studio.training.pictures.example import Example, Placed
from studio.training.watching.held_out import (
    TIMESTEPS,
    Held,
    held_out_loss,
    measurements,
    split,
)


def place(number: int, bucket: tuple[int, int] = (64, 64)) -> Placed:
    """A picture in its bucket."""
    name = f"{number}.png"
    example = Example(Path(name), name, f"{number:064x}", (100, 100))
    return Placed(example, bucket, (0, 0, 100, 100), 0.64)


def places(count: int) -> list[Placed]:
    """Pictures in two buckets in turn."""
    return [place(i, ((64, 64), (64, 96))[i % 2]) for i in range(count)]


def test_a_tenth_is_held_out_and_not_learnt():
    found = split(places(50))
    held = {each.place.example.sha256 for each in found.held}
    assert len(held) == len(found.held) == 5
    assert len(found.learnt) == 45
    assert held.isdisjoint(each.example.sha256 for each in found.learnt)
    assert not found.views
    assert found.note == ""


def test_the_same_pictures_are_held_out_in_whatever_order_they_come():
    forwards, backwards = split(places(50)), split(places(50)[::-1])
    assert {h.place for h in forwards.held} == {h.place for h in backwards.held}


def test_one_more_picture_changes_at_most_one_held_out():
    before = {h.place for h in split(places(50)).held}
    after = {h.place for h in split(places(51)).held}
    assert len(before - after) <= 1


def test_equal_files_stay_together():
    twice = [*places(30), *(replace(p, bucket=(32, 32)) for p in places(30))]
    found = split(twice, 0.5)
    held = {each.place.example.sha256 for each in found.held}
    assert len(held) == len(found.held) == 15
    assert len(found.learnt) == 30
    assert held.isdisjoint(each.example.sha256 for each in found.learnt)


def test_many_pictures_hold_out_no_more_than_is_needed():
    assert len(split(places(2000)).held) == 32
    assert len(split(places(2000), 0.25).held) == 500


def test_none_is_held_out_when_none_is_wanted():
    found = split(places(50), 0)
    assert (len(found.learnt), found.held) == (50, ())
    assert split([]).held == ()
    assert split([], 0.2).held == ()


@pytest.mark.parametrize(("count", "views"), [(1, 1), (2, 1), (3, 2), (9, 2)])
def test_of_few_pictures_views_are_measured(count, views):
    found = split(places(count))
    assert len(found.learnt) == count
    assert len(found.held) == views
    assert found.views
    assert all(each.mirrored for each in found.held)
    assert "none is kept aside" in found.note


def test_where_mirror_images_are_learnt_a_corner_is_measured():
    found = split(places(5), flip=True)
    for each in found.held:
        left, top, right, bottom = each.place.crop
        assert not each.mirrored
        assert (right - left, bottom - top) == pytest.approx((80, 80))
        assert min(left, top) >= 0
        assert max(right, bottom) <= 100
        assert each.place.scale == pytest.approx(0.8)
        assert each.place.bucket in ((64, 64), (64, 96))


def test_a_share_that_is_asked_for_is_kept_even_of_few():
    found = split(places(5), 0.4)
    assert (len(found.held), len(found.learnt)) == (2, 3)
    assert "Only 2 of 5" in found.note
    assert len(split(places(2), 0.5).learnt) == 1
    assert split(places(1), 0.5) == split(places(1), 0)


def test_each_picture_is_seen_across_all_timesteps_with_noises_of_its_own():
    held = split(places(50)).held
    terms = measurements(held)
    assert len(terms) == len(held) * TIMESTEPS
    assert len({term.seed for term in terms}) == len(terms)
    assert all(0 <= term.seed < 2**63 for term in terms)
    for each in held:
        own = [term.timestep for term in terms if term.held == each]
        assert own == [(i + 0.5) / TIMESTEPS for i in range(TIMESTEPS)]
    buckets = [term.held.place.bucket for term in terms]
    assert buckets == sorted(buckets), "those of one bucket stand together"
    assert measurements(held) == measurements(held[::-1])


def test_seeds_of_a_picture_and_its_mirror_image_differ():
    both = [Held(place(1)), Held(place(1), mirrored=True)]
    terms = measurements(both, 2)
    assert len({term.seed for term in terms}) == 4


def loss_with(weight: float, batches: list[int] | None = None):
    """A loss of real noises that depends on all that it is given."""

    def loss_of(held: Sequence[Held], timesteps: Sequence[float], seeds: Sequence[int]) -> float:
        if batches is not None:
            batches.append(len(held))
        assert len({each.place.bucket for each in held}) == 1
        losses = []
        for each, timestep, seed in zip(held, timesteps, seeds, strict=True):
            noise = torch.randn(4, generator=torch.Generator().manual_seed(seed)).double()
            first = int(each.place.example.sha256, 16) % 7 + each.mirrored
            losses.append(float(((weight - timestep) * noise + first).square().mean()))
        return sum(losses) / len(losses)

    return loss_of


def test_the_same_weights_give_the_same_number():
    held = split(places(50)).held
    first = held_out_loss(loss_with(0.3), held)
    torch.manual_seed(99)
    torch.randn(5)
    assert held_out_loss(loss_with(0.3), held[::-1]) == first
    assert held_out_loss(loss_with(0.31), held) != first


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_the_batch_does_not_change_the_measure(batch):
    held = split(places(50)).held
    batches: list[int] = []
    found = held_out_loss(loss_with(0.3, batches), held, batch)
    assert found == pytest.approx(held_out_loss(loss_with(0.3), held, 1), rel=1e-12)
    assert sum(batches) == len(held) * TIMESTEPS
    assert max(batches) <= batch


def test_nothing_held_out_and_a_broken_loss_give_no_number():
    assert math.isnan(held_out_loss(loss_with(0.3), []))
    assert math.isnan(held_out_loss(lambda held, timesteps, seeds: math.nan, [Held(place(1))]))
