"""A device's process that dies in the middle of a job, in every way that there is."""

import signal
import sys

import pytest
from prometheus_client import generate_latest

from studio.context import Signal
from studio.errors import DeviceLost
from studio.events import Event, Failed, Finished, Notice, Progress
from studio.requests import GenerationRequest
from studio.services import build_services
from studio.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals"),
]
REASONS = {
    "segfault": "killed by signal SIGSEGV",
    "kill": "killed by signal SIGKILL, as by a system that is out of memory",
    "exit": "exit code 3",
    "hang": "no sign of life for 20 s",
    "freeze": "no sign of life for 20 s",
}
BEGUN_AGAIN = (
    "The process of the device ended in the middle of its work: {}. The job is begun again."
)


class Beside:
    """The context of a job that a test does itself."""

    def __init__(self) -> None:
        self.job_id = "beside"
        self.events: list[Event] = []
        self.emit = self.events.append

    def check(self) -> Signal:
        return Signal.GO_ON


@pytest.fixture(scope="module")
def undisturbed(apart) -> list[bytes]:
    """What the pictures of such a job look like when nothing happens."""
    job = apart.submit(batch_count=2)
    _, final = apart.end(job)
    assert isinstance(final, Finished)
    return apart.pixels(job)


@pytest.mark.parametrize("fault", REASONS)
def test_the_job_is_begun_again_and_makes_the_same_pictures(apart, undisturbed, fault):
    (before,) = apart.processes()
    apart.plan(f"{fault} 2 2")
    job = apart.submit(batch_count=2)
    told, final = apart.end(job)
    assert isinstance(final, Finished), final
    assert Notice(text=BEGUN_AGAIN.format(REASONS[fault])) in told
    assert apart.pixels(job) == undisturbed, "the first was there already, and is kept once"
    assert len(final.outputs) == 2
    assert apart.services.queue.get(job).losses == 1
    (after,) = apart.processes()
    assert after.pid != before.pid
    assert not before.is_running()
    (held,) = apart.services.engine.models.held()
    assert held.kind == "diffusion", "the model is lent anew"
    assert not held.in_use
    assert apart.services.engine.broker.leases() == []


def test_a_second_death_is_the_jobs_end_with_the_reason(apart):
    apart.plan("segfault 1 2", "exit 1 1")
    _, final = apart.end(apart.submit())
    assert isinstance(final, Failed)
    assert final.reason == (
        "The process of the device ended in the middle of its work: exit code 3. "
        "The job had been begun again once already."
    )
    _, final = apart.end(apart.submit())
    assert isinstance(final, Finished), "the next one is not harmed"


def test_it_is_killed_from_outside(apart, undisturbed):
    job = apart.submit(batch_count=2, steps=3)
    events = apart.follow(job)
    next(event for event in events if isinstance(event, Progress))
    (process,) = apart.processes()
    process.send_signal(signal.SIGKILL)
    final = list(events)[-1]
    assert isinstance(final, Finished), final
    assert apart.pixels(job) == undisturbed


def test_a_fault_of_the_work_itself_is_no_death(apart):
    (before,) = apart.processes()
    apart.plan("error 1 2")
    _, final = apart.end(apart.submit())
    assert isinstance(final, Failed)
    assert "An unexpected fault stopped the job (ZeroDivisionError: division by zero)" in (
        final.reason
    )
    assert apart.processes() == [before]


def test_one_that_hangs_is_not_counted_against_those_beside_it(apart):
    """Two jobs in one process: who waits for a fault of another is begun again, too."""
    apart.plan("hang 1 1")
    hanging = apart.submit()
    next(event for event in apart.follow(hanging) if isinstance(event, Progress))

    beside = Beside()
    request = GenerationRequest(
        prompt="a cat", steps=150, width=256, height=256, batch_count=50, seed=1
    )
    kinds = apart.services.queue._kinds
    with pytest.raises(DeviceLost, match="no sign of life") as lost:
        apart.services.engine.generate(kinds["generate"].resolve(request), beside)
    assert not lost.value.to_blame
    assert any(isinstance(event, Progress) for event in beside.events)
    _, final = apart.end(hanging)
    assert isinstance(final, Finished)
    assert apart.services.queue.get(hanging).losses == 1


def test_deaths_are_counted(apart):
    told = generate_latest(apart.services.metrics).decode()
    for why in ("SIGSEGV", "SIGKILL", "exit", "silence"):
        assert f'atelier_device_restarts_total{{device="cpu (0)",why="{why}"}}' in told


def test_a_process_that_never_comes_up_is_given_up_for_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr("studio.device.child._LONGEST_PAUSE", 0.2)
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(7)")
    services = build_services(
        Settings(data_dir=tmp_path / "data", device="cpu"),
        apart=True,
        device_program=(str(broken),),
    )
    services.start()
    try:
        job = services.queue.submit(GenerationRequest(prompt="a cat"))
        final = list(services.queue.follow(job))[-1]
        assert isinstance(final, Failed)
        assert "The process of the device cpu ended 3 times at its beginning" in final.reason
        assert not services.engine.is_up
    finally:
        services.stop()
