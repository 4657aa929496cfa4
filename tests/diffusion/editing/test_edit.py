"""Pictures changed by a text, on the embedded model: how much, where, and what stays."""

import io
import json

import numpy as np
import pytest
from judge.judge import Judge
from PIL import Image
from recorder import Studio

from studio.context import Signal
from studio.diffusion.editing import masks
from studio.diffusion.metadata import files
from studio.errors import NotFound, RequestError
from studio.requests import (
    Blend,
    Curve,
    EditRequest,
    ExtendFill,
    InpaintArea,
    MaskedContent,
    MaskMode,
    Resize,
    Sampler,
)

CENTRE = masks.Box(32, 32, 96, 96)


@pytest.fixture(scope="module")
def apple(studio: Studio) -> np.ndarray:
    """A picture of the embedded model's."""
    return studio.pixels(prompt="a red apple", steps=20, seed=3)


@pytest.fixture(scope="module")
def centre() -> np.ndarray:
    """A mask of the middle."""
    mask = np.zeros((128, 128), "u1")
    CENTRE.of(mask)[:] = 255
    return mask


def moved(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two pictures' bytes."""
    return float(np.abs(one.astype(int) - other).mean())


def outside(mask: np.ndarray, feather: int) -> np.ndarray:
    """Where nothing may change."""
    return masks.feathered(mask, feather) == 0


@pytest.mark.parametrize("sampler", list(Sampler))
def test_the_stronger_the_further_from_the_source(studio, apple, sampler):
    distances = [
        moved(
            studio.edit(
                apple, prompt="a green pear", strength=strength, sampler=sampler, steps=12
            ).images[0],
            apple,
        )
        for strength in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert distances[0] == 0
    # LCM draws fresh noise at every step: from 0.75 on hardly anything of the source is left.
    least = -2 if sampler is Sampler.LCM else 0
    assert (np.diff(distances)[:3] > 0).all(), distances
    assert distances[4] - distances[3] > least, distances


def test_strength_one_ignores_the_source(studio, apple):
    made = studio.pixels(prompt="a green pear", width=128, height=128)
    for source in (apple, 255 - apple):
        assert np.array_equal(
            studio.edit(source, prompt="a green pear", strength=1).images[0], made
        )


def test_a_part_of_the_steps_is_done_and_counted(studio, apple):
    done = studio.edit(apple, prompt="a pear", strength=0.5, steps=8, sampler=Sampler.HEUN)
    assert [event.steps for event in done.progress] == [4] * len(done.progress)
    assert done.progress[-1].step == 4
    assert done.progress[-1].fraction == 1


@pytest.mark.parametrize("curve", [Curve.LINEAR, Curve.COSINE])
def test_a_curve_holds_the_source_for_longer(studio, apple, curve):
    free = studio.edit(apple, prompt="a blue car", strength=0.9).images[0]
    held = studio.edit(apple, prompt="a blue car", strength=0.9, curve=curve).images[0]
    assert 0 < moved(held, apple) < moved(free, apple)


def test_own_points_of_nothing_are_the_plain_strength(studio, apple):
    plain = studio.edit(apple, prompt="a blue car", strength=0.6).images[0]
    points = ((0.0, 0.0), (1.0, 0.0))
    same = studio.edit(
        apple, prompt="a blue car", strength=0.6, curve="points", curve_points=points
    )
    assert np.array_equal(same.images[0], plain)


@pytest.mark.parametrize("content", list(MaskedContent))
@pytest.mark.parametrize("blend", list(Blend))
def test_outside_the_feather_every_pixel_is_the_sources(studio, apple, centre, content, blend):
    result = studio.edit(
        apple, centre, prompt="a blue car", masked_content=content, blend=blend, feather=6, steps=4
    ).images[0]
    far = outside(centre, 6)
    assert np.array_equal(result[far], apple[far])
    assert moved(CENTRE.of(result), CENTRE.of(apple)) > 3


def test_masked_contents_differ(studio, apple, centre):
    results = [
        studio.edit(apple, centre, prompt="a car", masked_content=content, strength=0.6).images[0]
        for content in MaskedContent
    ]
    for i, one in enumerate(results):
        assert all(moved(one, other) > 0.3 for other in results[:i])


def test_the_other_side_of_the_mask_can_be_changed(studio, apple, centre):
    result = studio.edit(
        apple, centre, prompt="a castle", mask_mode=MaskMode.NOT_MASKED, strength=1, feather=0
    ).images[0]
    assert np.array_equal(result[centre > 0], apple[centre > 0])
    assert moved(result[centre == 0], apple[centre == 0]) > 3


def test_a_mask_keeps_the_source_whatever_its_size(studio, centre):
    """Sides that are no multiple of the model's factor are neither cut off nor scaled."""
    rng = np.random.default_rng(3)
    source = rng.integers(0, 256, (101, 139, 3), dtype="u1")
    mask = np.zeros((101, 139), "u1")
    mask[40:70, 50:101] = 255
    result = studio.edit(source, mask, prompt="a cat", steps=3).images[0]
    assert result.shape == source.shape
    far = outside(mask, 4)
    assert np.array_equal(result[far], source[far])


def test_only_the_masked_part_is_worked_on_at_full_size(studio, apple):
    large = np.asarray(Image.fromarray(apple).resize((512, 512)))
    mask = np.zeros((512, 512), "u1")
    mask[40:140, 60:160] = 255
    result = studio.edit(large, mask, prompt="a blue car", area=InpaintArea.MASKED, strength=1)
    far = outside(mask, 4)
    assert np.array_equal(result.images[0][far], large[far])
    assert moved(result.images[0][mask > 0], large[mask > 0]) > 3
    refused = EditRequest(source="0" * 64, mask="0" * 64)
    assert refused.area is InpaintArea.WHOLE


def test_soft_inpainting_changes_more_where_the_mask_is_stronger(studio, apple, centre):
    result = studio.edit(
        apple, centre, prompt="a blue car", soft=True, feather=32, strength=1, steps=12
    ).images[0]
    away = np.abs(result.astype(int) - apple).mean(axis=-1)
    soft = masks.feathered(centre, 32)
    assert away[soft == 1].mean() > away[(soft > 0) & (soft < 0.5)].mean()
    assert not away[soft == 0].any()


@pytest.mark.parametrize("fill", list(ExtendFill))
def test_new_ground_is_painted_and_the_source_stays(studio, apple, fill):
    result = studio.edit(
        apple, prompt="a red apple", extend_left=40, extend_bottom=24, extend_fill=fill, steps=4
    ).images[0]
    assert result.shape == (152, 168, 3)
    # 8 pixels of overlap and 4 of feather may change.
    assert np.array_equal(result[: 128 - 13, 40 + 13 :], apple[: 128 - 13, 13:])


@pytest.mark.parametrize("resize", list(Resize))
def test_the_result_has_the_size_that_was_asked_for(studio, apple, resize):
    result = studio.edit(
        apple, prompt="a red apple", width=192, height=128, resize=resize, strength=0.5, steps=4
    ).images[0]
    assert result.shape == (128, 192, 3)


def test_pictures_of_a_batch_are_those_made_alone(studio, apple, centre):
    fields = {"prompt": "a blue car", "masked_content": MaskedContent.NOISE, "steps": 3}
    batch = studio.edit(apple, centre, batch_size=2, batch_count=2, **fields).images
    for i, image in enumerate(batch):
        alone = studio.edit(apple, centre, **{**fields, "seed": 7 + i}).images[0]
        assert np.abs(alone.astype(int) - image).max() <= 1
    assert moved(batch[0], batch[1]) > 0.3


def test_skipping_leaves_out_a_batch(studio, apple):
    signals = iter([Signal.GO_ON, Signal.GO_ON, Signal.SKIP])
    made = studio.edit(
        apple, prompt="a car", batch_count=2, on_check=lambda: next(signals, Signal.GO_ON)
    )
    assert len(made.pictures) == 1


def test_metadata_restores_everything_and_the_mask_lies_beside_it(studio, apple, centre):
    made = studio.edit(
        apple,
        centre,
        prompt="a blue car",
        mask_grow=2,
        feather=9,
        soft=True,
        blend=Blend.POISSON,
        curve=Curve.POINTS,
        curve_points=((0.0, 0.5), (0.5, 0.0)),
        steps=3,
    ).pictures[0]
    imported = files.read(io.BytesIO(made.data))
    assert imported.request is EditRequest
    assert imported.notes == ()
    stored = json.loads(made.request)
    assert EditRequest(**imported.fields).model_dump(mode="json") == {**stored, "kind": "edit"}
    assert "Denoising strength: 0.75" in made.infotext
    assert "Mask blur: 9" in made.infotext
    with Image.open(io.BytesIO(made.mask)) as kept:
        painted = np.asarray(kept.convert("L"))
    assert np.array_equal(painted, masks.grown(centre, 2))
    asked = {name: stored[name] for name in stored if name not in ("source", "mask")}
    again = studio.edit(apple, centre, **asked).pictures[0]
    assert again.data == made.data


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "no picture"),
        ({"curve": Curve.POINTS}, "points"),
        ({"curve_points": ((0.0, 1.0),)}, "points"),
        ({"width": 130}, "multiple"),
    ],
)
def test_what_cannot_be_done_is_refused_at_submission(studio, apple, fields, word):
    source = studio.services.inputs.add_image(Image.fromarray(apple)).hash if fields else ""
    with pytest.raises(RequestError, match=word):
        studio.services.queue.submit(EditRequest(source=source, prompt="a cat", **fields))


def test_masks_that_do_not_fit_are_refused_and_those_that_do_are_scaled(studio, apple, centre):
    with pytest.raises(RequestError, match="64x128"):
        studio.edit(apple, centre[:, :64], prompt="a cat")
    with pytest.raises(RequestError, match="nothing to change"):
        studio.edit(apple, np.zeros_like(centre), prompt="a cat")
    everything = studio.edit(apple, np.full_like(centre, 255), prompt="a cat", steps=2)
    assert everything.images[0].shape == apple.shape
    half = np.ascontiguousarray(centre[::2, ::2])
    result = studio.edit(apple, half, prompt="a blue car", steps=3).images[0]
    far = outside(centre, 4)
    assert np.array_equal(result[far], apple[far])


def test_a_picture_too_large_to_work_on_is_refused_unless_a_part_of_it_is(studio):
    large = np.full((64, 3000, 3), 200, "u1")
    mask = np.zeros((64, 3000), "u1")
    mask[20:40, 1500:1520] = 255
    with pytest.raises(RequestError, match="3000x64"):
        studio.edit(large, mask, prompt="a cat")
    result = studio.edit(large, mask, prompt="a cat", area=InpaintArea.MASKED, steps=2).images[0]
    assert result.shape == large.shape


def test_one_pixel_can_be_changed(studio):
    result = studio.edit(np.full((1, 1, 3), 9, "u1"), prompt="a cat", steps=2, strength=1)
    assert result.images[0].shape == (1, 1, 3)


def test_a_source_that_is_gone_ends_the_job_in_words(studio, apple):
    digest = studio.services.inputs.add_image(Image.fromarray(255 - apple)).hash
    request = EditRequest(source=digest, prompt="a cat", steps=2)
    studio.services.inputs.path(digest).unlink()
    with pytest.raises(NotFound, match="send the picture again"):
        studio.services.queue.submit(request)


def test_a_masked_apple_becomes_something_else(studio, apple, centre, judge: Judge):
    """The judge's first choice changes for most things that are asked for."""
    whole = masks.grown(centre, 24)
    changed = 0
    things = ("blue car", "cat face", "pizza", "castle")
    for thing in things:
        result = studio.edit(
            apple, whole, prompt=f"a {thing}", strength=1, steps=20, feather=2
        ).images[0]
        far = outside(whole, 2)
        assert np.array_equal(result[far], apple[far])
        changed += judge.rank(Image.fromarray(result))[0][0] != "apple"
    assert changed >= 3
