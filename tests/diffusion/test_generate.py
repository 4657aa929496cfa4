"""Requests to saved pictures: the same pixels again, what prompts do, and what goes wrong."""

import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judge.judge import Judge
from PIL import Image
from recorder import Studio, pixels

from studio.context import Signal
from studio.diffusion.decode import decode
from studio.diffusion.metadata.files import read
from studio.errors import Cancelled, ModelError, RequestError
from studio.events import Status
from studio.requests import GenerationRequest, ImageFormat, Sampler, validated
from studio.services import Services, build_services
from studio.settings import Settings

ROOT = Path(__file__).parents[2]
LONG = ", ".join(["a red apple with a green leaf on a white plate"] * 12)
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"prompt": "a red apple"},
    "noise added by the sampler": {"prompt": "a cat", "sampler": Sampler.EULER_A},
    "variation": {"prompt": "a dog", "variation_seed": 3, "variation_strength": 0.3},
    "AND": {"prompt": "a red apple AND a blue umbrella :0.4"},
    "schedule": {"prompt": "a [red:blue:0.5] car"},
    "alternation": {"prompt": "a [cat|dog]"},
    "BREAK and weights": {"prompt": "a (red:1.4) apple BREAK [green] leaf", "negative_prompt": "x"},
    "long": {"prompt": LONG, "negative_prompt": "blue, (grey)"},
    "clip skip": {"prompt": "a castle", "clip_skip": 2},
}


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pictures' bytes."""
    return int(np.abs(one.astype(int) - other).max())


def moved(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two pictures' bytes."""
    return float(np.abs(one.astype(int) - other).mean())


@contextmanager
def before_each_step(studio: Studio, call: Callable[[int], None]) -> Iterator[list[int]]:
    """Call with the number of the evaluation before the denoiser is run; yields those numbers."""
    done: list[int] = []

    def hook(*_: Any) -> None:
        call(len(done) + 1)
        done.append(len(done) + 1)

    with studio.borrow() as pipe:
        handle = pipe.unet.register_forward_pre_hook(hook)
    # The model is given back: a job that wants it in another outfit would wait for it.
    try:
        yield done
    finally:
        handle.remove()


# --- the same again -----------------------------------------------------------------------------


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_the_same_request_gives_the_same_pixels(studio: Studio, fields: dict[str, Any]) -> None:
    assert np.array_equal(studio.pixels(**fields), studio.pixels(**fields))


@pytest.mark.slow
def test_another_process_gives_the_same_pixels(studio: Studio, tmp_path: Path) -> None:
    fields = [REQUESTS[name] for name in ("noise added by the sampler", "variation", "AND")]
    script = (
        "import hashlib, json, sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from studio.requests import GenerationRequest\n"
        "from studio.services import build_services\n"
        "from studio.settings import Settings\n"
        "services = build_services(\n"
        "    Settings(data_dir=Path(sys.argv[1]), device='cpu', dtype='float32'))\n"
        "for fields in json.loads(sys.argv[2]):\n"
        "    job = services.run_now(GenerationRequest(**fields))\n"
        "    for output in services.queue.outputs(job):\n"
        "        with Image.open(services.outputs.path(output)) as image:\n"
        "            print(hashlib.sha256(image.convert('RGB').tobytes()).hexdigest())\n"
        "services.stop()\n"
    )
    requests = [{"steps": 6, "seed": 7, "preview_every": 0, **each} for each in fields]
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "other"), json.dumps(requests)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    here = [hashlib.sha256(studio.pixels(**each).tobytes()).hexdigest() for each in fields]
    assert ran.stdout.split() == here


@pytest.mark.parametrize("sampler", [Sampler.DPMPP_2M, Sampler.EULER_A])
@pytest.mark.parametrize("varied", [0.0, 0.4])
def test_a_picture_is_the_same_alone_and_in_a_batch(
    studio: Studio, sampler: Sampler, varied: float
) -> None:
    fields = {
        "prompt": "a red apple",
        "sampler": sampler,
        "variation_seed": 50,
        "variation_strength": varied,
    }
    together = studio.make(**fields, batch_size=4)
    for index, image in enumerate(together.images):
        own = {"variation_seed": 50 + index} if varied else {"seed": 7 + index}
        assert apart(studio.pixels(**{**fields, **own}), image) <= 1
    assert len({image.tobytes() for image in together.images}) == 4


def test_a_picture_is_the_same_alone_and_in_a_batch_of_half_precision(tmp_path: Path) -> None:
    """Rounding would change up to 33 of 255 levels if they were denoised together."""
    services = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="bfloat16"))
    try:
        half = Studio(services)
        together = half.make(prompt="a blue cat", seed=50, batch_size=3)
        alone = half.make(prompt="a blue cat", seed=52)
    finally:
        services.stop()
    assert apart(together.images[2], alone.images[0]) == 0


def test_batches_go_on_where_the_last_one_ended(studio: Studio) -> None:
    made = studio.make(prompt="a dog", batch_size=2, batch_count=2, steps=3)
    assert [picture.seed for picture in made.pictures] == [7, 8, 9, 10]
    assert [(event.item, event.step) for event in made.progress] == [
        (item, step) for item in (1, 2) for step in (1, 2, 3)
    ]
    assert made.progress[-1].fraction == 1
    assert made.progress[-1].seconds_left == 0


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_saved_file_makes_its_own_picture_again(
    services: Services, studio: Studio, fields: dict[str, Any]
) -> None:
    """Through the database and the disk, also for the third picture of a batch."""
    request = GenerationRequest(**{"steps": 6, "seed": 7, "batch_size": 3, **fields})
    job = services.run_now(request)
    assert services.queue.get(job).reason == ""
    outputs = services.queue.outputs(job)
    assert len(outputs) == 3
    for number in (0, 2):
        path = services.outputs.path(outputs[number])
        imported = read(path)
        assert not imported.notes
        again = validated(GenerationRequest, imported.fields)
        row = services.outputs.get(outputs[number])
        assert GenerationRequest.model_validate_json(row.request) == again
        varied = request.variation_strength > 0
        assert again.seed == row.seed == (7 if varied else 7 + number)
        assert not varied or again.variation_seed == request.variation_seed + number
        assert again.image_count == 1
        assert apart(studio.pixels(**again.model_dump()), pixels(path.read_bytes())) <= 1


def test_a_single_picture_comes_back_bit_by_bit(services: Services, studio: Studio) -> None:
    job = services.run_now(GenerationRequest(prompt="a [cat|dog] AND (sun:1.2)", steps=6))
    (output,) = services.queue.outputs(job)
    path = services.outputs.path(output)
    again = validated(GenerationRequest, read(path).fields)
    assert again.seed == services.outputs.get(output).seed != -1
    assert np.array_equal(studio.pixels(**again.model_dump()), pixels(path.read_bytes()))


# --- what a request says shows ------------------------------------------------------------------


def test_weights_move_the_picture_the_more_the_further_from_one(studio: Studio) -> None:
    plain = studio.pixels(prompt="a red apple", steps=12)
    assert np.array_equal(plain, studio.pixels(prompt="a (red:1.0) apple", steps=12))
    little = moved(plain, studio.pixels(prompt="a (red:1.1) apple", steps=12))
    much = moved(plain, studio.pixels(prompt="a (red:1.5) apple", steps=12))
    assert much > 1
    assert much > little > 0


def test_negative_prompt_moves_the_picture(studio: Studio) -> None:
    plain = studio.pixels(prompt="an apple", steps=12)
    assert moved(plain, studio.pixels(prompt="an apple", negative_prompt="red", steps=12)) > 1


@pytest.mark.slow
def test_schedule_is_neither_of_its_two_prompts_and_starts_as_the_first(studio: Studio) -> None:
    first, second, both = (
        studio.make(prompt=f"a {word} car", steps=10, preview_every=1)
        for word in ("red", "blue", "[red:blue:0.5]")
    )
    assert moved(first.images[0], both.images[0]) > 1
    assert moved(second.images[0], both.images[0]) > 1
    same = [a.image == b.image for a, b in zip(first.previews, both.previews, strict=True)]
    assert same == [True] * 5 + [False] * 4


def test_schedule_that_never_switches_is_its_first_prompt(studio: Studio) -> None:
    assert np.array_equal(
        studio.pixels(prompt="a red car"), studio.pixels(prompt="a [red:blue:150] car")
    )


@pytest.mark.slow
def test_and_joins_two_prompts(studio: Studio, judge: Judge) -> None:
    fields = {"steps": 20, "seed": 3}
    alone = studio.pixels(prompt="a red apple", **fields)
    joined = studio.pixels(prompt="a red apple AND a blue background", **fields)
    silenced = studio.pixels(prompt="a red apple AND a blue background :0", **fields)
    assert apart(alone, silenced) <= 1
    assert moved(alone, joined) > 1
    assert judge.is_picture(Image.fromarray(joined))


def test_clip_skip_moves_the_picture_and_ends_at_the_encoders_layers(studio: Studio) -> None:
    plain = studio.pixels(prompt="a castle")
    assert moved(plain, studio.pixels(prompt="a castle", clip_skip=2)) > 1
    with pytest.raises(RequestError, match="CLIP skip must be between 1 and") as caught:
        studio.make(prompt="a castle", clip_skip=12)
    assert caught.value.field == "clip_skip"


def test_clip_skip_beyond_the_encoder_fails_with_a_sentence(services: Services) -> None:
    job = services.run_now(GenerationRequest(prompt="a castle", clip_skip=12, steps=2))
    row = services.queue.get(job)
    assert row.status is Status.FAILED
    assert row.reason.startswith("CLIP skip must be between 1 and ")
    assert row.reason.endswith("but is 12.")


@pytest.mark.parametrize("size", [(192, 128), (128, 192), (64, 64), (72, 136)])
def test_pictures_have_the_size_that_was_asked_for(studio: Studio, size: tuple[int, int]) -> None:
    made = studio.make(prompt="a castle", width=size[0], height=size[1], steps=3, preview_every=2)
    assert made.images[0].shape == (size[1], size[0], 3)
    assert (made.pictures[0].width, made.pictures[0].height) == size
    with Image.open(io.BytesIO(made.previews[0].image)) as preview:
        assert preview.size == size


def test_width_between_multiples_is_refused_before_the_queue(services: Services) -> None:
    with pytest.raises(RequestError, match=r"Width is 100, .* the nearest is 96"):
        services.queue.submit(GenerationRequest(width=100))
    assert services.queue.line().waiting == 0


@pytest.mark.parametrize("image_format", ImageFormat)
def test_every_format_is_saved_and_carries_the_request(
    services: Services, image_format: ImageFormat
) -> None:
    job = services.run_now(
        GenerationRequest(prompt="a cät 🐈", steps=2, seed=5, image_format=image_format)
    )
    (output,) = services.queue.outputs(job)
    path = services.outputs.path(output)
    with Image.open(path) as image:
        image.load()
        assert (image.format or "").lower() == image_format.value
        assert image.size == (128, 128)
    again = validated(GenerationRequest, read(path).fields)
    assert (again.prompt, again.seed, again.image_format) == ("a cät 🐈", 5, image_format)


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_every_step_is_told(studio: Studio, steps: int) -> None:
    made = studio.make(prompt="a dog", steps=steps, width=64, height=64)
    assert [event.step for event in made.progress] == list(range(1, steps + 1))


# --- stopping -----------------------------------------------------------------------------------


def test_cancelling_ends_the_run_within_the_step(studio: Studio) -> None:
    wish: list[int] = []

    def check() -> Signal:
        if wish:
            raise Cancelled
        return Signal.GO_ON

    def stop_at(number: int) -> None:
        if number == 3:
            wish.append(number)

    with before_each_step(studio, stop_at) as done, pytest.raises(Cancelled):
        studio.make(check, prompt="a dog", steps=50)
    assert done == [1, 2, 3]


@pytest.fixture
def working(services: Services) -> Services:
    """Services whose worker thread takes jobs from the queue."""
    services.start()
    return services


def finished(services: Services, job: str) -> Status:
    """Where the job ended, once it has."""
    for _ in services.queue.follow(job):
        pass
    return services.queue.get(job).status


def test_cancelled_job_frees_the_worker_for_the_next(working: Services) -> None:
    queue, studio = working.queue, Studio(working)
    jobs: list[str] = []
    with before_each_step(studio, lambda n: queue.cancel(jobs[0]) if n == 4 else None) as done:
        jobs.append(queue.submit(GenerationRequest(prompt="a dog", steps=150, batch_count=5)))
        assert finished(working, jobs[0]) is Status.CANCELLED
        assert done == [1, 2, 3, 4]
    assert queue.outputs(jobs[0]) == ()
    after = queue.submit(GenerationRequest(prompt="a cat", steps=2))
    assert finished(working, after) is Status.FINISHED
    assert len(queue.outputs(after)) == 1


def test_skipping_leaves_out_one_batch_and_goes_on(working: Services) -> None:
    queue, studio = working.queue, Studio(working)
    request = GenerationRequest(prompt="a dog", steps=4, seed=30, batch_count=3, batch_size=2)
    jobs: list[str] = []
    with before_each_step(studio, lambda n: queue.skip(jobs[0]) if n == 6 else None) as done:
        jobs.append(queue.submit(request))
        assert finished(working, jobs[0]) is Status.FINISHED
    # Four steps, then two of the second batch, then four of the third.
    assert len(done) == 10
    seeds = [working.outputs.get(output).seed for output in queue.outputs(jobs[0])]
    assert seeds == [30, 31, 34, 35]


# --- running out --------------------------------------------------------------------------------


def test_out_of_memory_is_one_sentence_and_the_next_job_works(working: Services) -> None:
    studio = Studio(working)

    def run_out(number: int) -> None:
        if number == 2:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    with before_each_step(studio, run_out):
        job = working.queue.submit(GenerationRequest(prompt="a dog", steps=4, batch_size=2))
        assert finished(working, job) is Status.FAILED
        assert working.queue.get(job).reason == (
            "A batch of 2 at 128x128 does not fit into the device's memory, whatever is saved; "
            "choose a smaller size or batch."
        )
    after = working.queue.submit(GenerationRequest(prompt="a dog", steps=2))
    assert finished(working, after) is Status.FINISHED


def test_overflowing_autoencoder_goes_on_in_float32(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    half = settings.model_copy(update={"dtype": "float16"})
    services = build_services(half)
    try:
        studio = Studio(services)
        with studio.borrow() as pipe, torch.no_grad():
            assert pipe.unet.dtype == pipe.vae.dtype == torch.float16
            # Beyond float16 on the way through, though each weight is within it.
            pipe.vae.decoder.conv_in.weight.mul_(3e4)
        with caplog.at_level(logging.WARNING, "studio"):
            job = services.run_now(
                GenerationRequest(prompt="a dog", steps=2, width=64, height=64, batch_count=2)
            )
        assert services.queue.get(job).reason == ""
        assert len(services.queue.outputs(job)) == 2
        told = [record for record in caplog.records if "float32 from now on" in record.message]
        assert len(told) == 1
        with studio.borrow() as pipe:
            assert pipe.vae.dtype == torch.float32
            assert pipe.unet.dtype == torch.float16
    finally:
        services.stop()


class Broken(torch.nn.Module):
    """An autoencoder that never gives numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))
        self.config = type("Config", (), {"shift_factor": None, "scaling_factor": 1.0})

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        return (torch.full((len(latents), 3, 8, 8), torch.nan),)


def test_pictures_that_are_no_numbers_are_refused_with_a_way_out() -> None:
    with pytest.raises(ModelError, match="ATELIER_DTYPE=float32"):
        decode(Broken(), torch.zeros(1, 4, 1, 1))
