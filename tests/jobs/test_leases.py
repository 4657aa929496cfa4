"""Jobs and the device: who has it, who waits for it, and what the one who waits is told."""

import subprocess
import sys
import threading
import time

import pytest
from toy_models import Shelf

from studio.context import ModelSpec
from studio.events import Progress, Status, Waiting
from studio.models import broker as broker_module
from studio.models.broker import Holder, process
from studio.models.idle import Tidying

WAIT = 10.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(broker_module, "_LOOK_AGAIN", 0.02)


def events_of(desk, job_id):
    return list(desk.queue.follow(job_id))


def test_a_running_job_has_the_device_and_tells_when_it_is_free(desk):
    seen = []

    def work(context):
        context.emit(Progress(step=1, steps=2, item=1, items=1, seconds_left=90.0))
        seen.extend(desk.broker.leases())

    desk.errands["work"] = work
    desk.worker.start()
    job_id = desk.submit("work")
    assert desk.wait(job_id) is Status.FINISHED
    (lease,) = seen
    assert lease.holder.job_id == job_id
    assert not lease.alone
    assert lease.until == pytest.approx(time.time() + 90, abs=10)
    assert desk.broker.leases() == []


def test_a_training_has_it_alone_and_a_download_not_at_all(desk):
    seen = {}
    for name in ("training", "download"):
        desk.errands[name] = lambda context, name=name: seen.update({name: desk.broker.leases()})
    desk.worker.start()
    for name in ("training", "download"):
        assert desk.wait(desk.submit(name, name)) is Status.FINISHED
    assert [each.alone for each in seen["training"]] == [True]
    assert seen["download"] == []


def test_who_waits_is_told_for_whom_and_how_long(desk):
    desk.errands["work"] = lambda context: None
    number = desk.broker.take(Holder("a training"), alone=True)
    desk.broker.expect(number, 60)
    desk.worker.start()
    job_id = desk.submit("work")
    told = []
    for event in desk.queue.follow(job_id):
        told.append(event)
        if isinstance(event, Waiting):
            desk.broker.give_back(number)
    waiting = next(event for event in told if isinstance(event, Waiting))
    assert waiting.holder == "a training"
    assert 50 < waiting.seconds_left <= 60
    assert desk.queue.get(job_id).status is Status.FINISHED


def test_one_who_waits_for_the_device_can_be_cancelled(desk):
    desk.errands["work"] = lambda context: None
    number = desk.broker.take(Holder("a training"), alone=True)
    desk.worker.start()
    job_id = desk.submit("work")
    for event in desk.queue.follow(job_id):
        if isinstance(event, Waiting):
            assert event.seconds_left is None, "nobody can tell"
            desk.queue.cancel(job_id)
    assert desk.queue.get(job_id).status is Status.CANCELLED
    desk.broker.give_back(number)


def test_a_training_whose_process_dies_holds_nobody_up(desk):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    desk.broker.take(Holder("a training", is_alive=process(child.pid)), alone=True)
    desk.errands["work"] = lambda context: None
    desk.worker.start()
    job_id = desk.submit("work")
    threading.Timer(0.2, child.kill).start()
    assert desk.wait(job_id) is Status.FINISHED
    child.wait()


def test_a_job_that_fails_gives_the_device_back(desk):
    desk.errands["fault"] = lambda context: 1 / 0
    desk.worker.start()
    assert desk.wait(desk.submit("fault", "training")) is Status.FAILED
    assert desk.broker.leases() == []


class Idle:
    """A manager that notes how long models may be idle."""

    def __init__(self):
        self.asked = []
        self.looked = threading.Event()

    def drop_idle(self, seconds):
        self.asked.append(seconds)
        self.looked.set()
        return ["Apple"]


def test_idle_models_are_looked_for_again_and_again(caplog):
    caplog.set_level("INFO", logger="studio.models.idle")
    models = Idle()
    tidying = Tidying(models, 0.002)
    tidying.start()
    assert models.looked.wait(WAIT)
    tidying.stop()
    assert models.asked[0] == pytest.approx(0.12)
    assert "Apple left memory" in caplog.text


def test_without_a_limit_nobody_looks():
    models = Idle()
    tidying = Tidying(models, 0)
    tidying.start()
    tidying.stop()
    assert models.asked == []


def test_a_job_that_waits_for_a_model_can_be_cancelled(desk):
    """Somebody has the model in another outfit, for as long as he likes."""
    desk.models._loaders = {"toy": Shelf()}
    desk.models._budget = lambda: 10**9
    waits = threading.Event()

    def work(context):
        waits.set()
        with context.borrow(ModelSpec("toy", "apple:10", speedups=("fast",))):
            raise AssertionError("nobody gave it back")

    desk.errands["work"] = work
    with desk.models.borrow(ModelSpec("toy", "apple:10")):
        desk.worker.start()
        job_id = desk.submit("work")
        assert waits.wait(WAIT)
        desk.queue.cancel(job_id)
        assert desk.wait(job_id) is Status.CANCELLED
