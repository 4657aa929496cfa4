"""When waiting jobs should begin: by hand, and against what the embedded model then does."""

import time

import pytest

from studio.events import Progress, Queued
from studio.jobs.foreseeing import work_of
from studio.people import Person, Role, acting_as
from studio.requests import GenerationRequest

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
FACTOR = 2.5
"""How far an estimate may be off on a machine that does other things too."""


def told(services, job: str) -> Queued:
    return [event for event in services.queue.now(job) if isinstance(event, Queued)][-1]


def sent(services, steps: int = 4, count: int = 1) -> str:
    request = GenerationRequest(prompt="a red apple", steps=steps, batch_count=count, seed=1)
    return services.queue.submit(request)


def run_next(services) -> tuple[str, float]:
    row = services.runner._queue._jobs.claim_next("test", ("generate",))
    began = time.monotonic()
    services.runner.run(row)
    services.queue.tell_positions()
    return row.id, time.monotonic() - began


def test_of_a_model_that_has_made_nothing_nobody_knows(services):
    first, second = sent(services), sent(services)
    assert (told(services, first).seconds, told(services, second).seconds) == (0, None)


def test_the_estimate_is_near_the_truth_whoever_waits(services):
    for _ in range(3):
        sent(services)
        run_next(services)
    with acting_as(ADA):
        jobs = [sent(services, steps=12, count=2)]
    with acting_as(BOB):
        jobs += [sent(services, steps=8)]
    last = sent(services)
    foreseen = told(services, last).seconds
    assert told(services, jobs[0]).seconds == 0
    taken = [run_next(services) for _ in jobs]
    assert {job for job, _ in taken} == set(jobs)
    truth = sum(seconds for _, seconds in taken)
    assert foreseen is not None
    assert truth / FACTOR < foreseen < truth * FACTOR
    assert told(services, last).seconds == 0


def test_what_a_running_job_says_is_left_counts(services):
    sent(services)
    jobs = services.queue._jobs
    running = jobs.claim_next("test")
    waiting = sent(services)
    progress = Progress(step=1, steps=4, item=1, items=1, seconds_left=42.0)
    services.queue.live(running.id)[0].emit(progress)
    services.queue.tell_positions()
    assert told(services, waiting).seconds == pytest.approx(42)


def test_work_grows_with_steps_pixels_and_pictures():
    plain = {
        "model": "m",
        "width": 64,
        "height": 64,
        "steps": 10,
        "batch_count": 1,
        "batch_size": 1,
    }
    base = work_of(plain)
    assert base == 64 * 64 * 10
    assert work_of(plain | {"steps": 20}) == 2 * base
    assert work_of(plain | {"batch_count": 3, "batch_size": 2}) == 6 * base
    assert work_of(plain | {"strength": 0.5}) == base / 2
    hires = {"hires_scale": 2.0, "hires_steps": 0, "hires_strength": 0.5}
    assert work_of(plain | hires) == base + 2 * base
    assert work_of({"model": "m", "steps": 10}) == 0
