"""Two devices, which are both the CPU: each makes pictures, and one can be had alone."""

import time

import pytest

from studio.context import ModelSpec
from studio.events import Finished
from studio.models.broker import Holder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(open_apart):
    return open_apart(devices="cpu,cpu", hang_seconds=60)


def test_both_make_pictures(two):
    for engine in two.services.engines:
        engine.device()
    before = {process.pid for process in two.processes()}
    assert len(before) == 2
    jobs = [two.submit(seed=seed, batch_count=3, steps=10) for seed in range(4)]
    ends = [two.end(job)[1] for job in jobs]
    assert all(isinstance(end, Finished) for end in ends)
    assert [len(two.pixels(job)) for job in jobs] == [3] * 4
    assert [len(engine.models.held()) for engine in two.services.engines] == [1, 1]
    rows = [two.services.queue.get(job) for job in jobs]
    assert rows[1].started_at < rows[0].ended_at, "they ran side by side"
    one = two.submit(seed=9)
    two.end(one)
    again = two.submit(seed=9)
    two.end(again)
    assert two.pixels(one) == two.pixels(again), "wherever it is made"


def test_one_that_somebody_has_alone_leaves_the_jobs_to_the_other(two):
    first, second = two.services.engines
    with first.broker.lease(Holder("a training"), alone=True):
        jobs = [two.submit(seed=seed) for seed in range(3)]
        for job in jobs:
            told, end = two.end(job)
            assert isinstance(end, Finished)
            assert not any(event.type == "waiting" for event in told)
        assert two.services.answering.holders() == [], "a question has the other one"
        assert first.models.held() == []
        assert second.models.held()
    assert first.broker.leases() == []


def test_the_death_of_one_is_none_of_the_others_business(two):
    first, second = two.processes()
    first.kill()
    until = time.monotonic() + 10
    while all(engine.is_up for engine in two.services.engines):
        assert time.monotonic() < until
        time.sleep(0.01)
    job = two.submit(seed=3)
    assert isinstance(two.end(job)[1], Finished)
    assert two.services.queue.get(job).losses == 0
    assert second.is_running()


def test_a_model_is_taken_out_of_both(two, embedded_id):
    for engine in two.services.engines:
        engine.device()
    two.services.in_memory.drop_idle(0)
    for engine in two.services.engines:
        engine.models.load(ModelSpec("diffusion", embedded_id))
    assert len(two.services.in_memory.held()) == 2
    two.services.library.unload("diffusion", embedded_id)
    assert two.services.in_memory.held() == []
