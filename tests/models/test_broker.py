"""Leases of a device: who shares it, who waits for whom, and what becomes of the dead."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from studio.errors import Cancelled
from studio.models import broker as module
from studio.models.broker import Broker, Holder, Lease, process, this_thread
from studio.models.journal import Journal

WAIT = 5.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN", 0.02)


@pytest.fixture
def evictions() -> list[str]:
    return []


@pytest.fixture
def broker(evictions: list[str]) -> Broker:
    return Broker(lambda: evictions.append("all idle models"), Journal())


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def who(title: str) -> Holder:
    return Holder(title, is_alive=this_thread())


def facts(broker: Broker) -> list[tuple[str, bool, bool]]:
    return [(each.holder.title, each.alone, each.waits) for each in broker.leases()]


def until(condition) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def test_pictures_and_readers_share_a_device(broker: Broker, evictions: list[str]) -> None:
    with broker.lease(who("a picture")), broker.lease(who("a reader")):
        assert facts(broker) == [("a picture", False, False), ("a reader", False, False)]
    assert broker.leases() == []
    assert evictions == []


def test_training_waits_for_running_work_lets_idle_models_go_and_hands_back(
    broker: Broker, evictions: list[str], pool: ThreadPoolExecutor
) -> None:
    order: list[str] = []

    def train() -> None:
        with broker.lease(who("a training"), alone=True):
            order.append("training")
            assert evictions == ["all idle models"]
            assert facts(broker)[0] == ("a training", True, False)

    with broker.lease(who("a picture")):
        training = pool.submit(train)
        until(lambda: ("a training", True, True) in facts(broker))
        time.sleep(0.05)
        assert order == []
        order.append("picture")
    training.result(WAIT)
    assert order == ["picture", "training"]
    with broker.lease(who("the next picture")):
        assert len(broker.leases()) == 1


def test_who_comes_later_waits_behind_one_who_wants_to_be_alone(
    broker: Broker, pool: ThreadPoolExecutor
) -> None:
    order: list[str] = []

    def use(title: str, alone: bool) -> None:
        with broker.lease(who(title), alone=alone):
            order.append(title)
            time.sleep(0.02)

    with broker.lease(who("a picture")):
        training = pool.submit(use, "a training", True)
        until(lambda: len(broker.leases()) == 2)
        later = pool.submit(use, "a later picture", False)
        until(lambda: len(broker.leases()) == 3)
        time.sleep(0.05)
        assert order == []
    training.result(WAIT)
    later.result(WAIT)
    assert order == ["a training", "a later picture"]


def test_two_trainings_never_meet(broker: Broker, pool: ThreadPoolExecutor) -> None:
    inside, met = [0], []

    def use(number: int) -> None:
        alone = number % 3 == 0
        with broker.lease(who(f"work {number}"), alone=alone):
            inside[0] += 100 if alone else 1
            if inside[0] > 100 or (alone and inside[0] != 100):
                met.append(number)
            time.sleep(0.002)
            inside[0] -= 100 if alone else 1

    for each in [pool.submit(use, number) for number in range(60)]:
        each.result(WAIT)
    assert met == []
    assert broker.leases() == []


def test_everyone_sees_who_has_the_device_and_when_it_is_free(broker: Broker) -> None:
    with broker.lease(who("a picture")) as expect:
        assert broker.leases()[0].until == 0
        expect(30)
        assert broker.leases()[0].until == pytest.approx(time.time() + 30, abs=1)
        assert broker.leases()[0].since == pytest.approx(time.time(), abs=1)


def test_who_waits_is_told_for_whom_and_may_go(broker: Broker, pool: ThreadPoolExecutor) -> None:
    told: list[list[Lease]] = []

    def on_wait(held: list[Lease]) -> None:
        told.append(held)
        if len(told) == 3:
            raise Cancelled

    def wait() -> None:
        with broker.lease(who("an impatient one"), on_wait=on_wait):
            pass

    with broker.lease(who("a training"), alone=True):
        with pytest.raises(Cancelled):
            pool.submit(wait).result(WAIT)
        assert [[each.holder.title for each in held] for held in told] == [["a training"]] * 3
        assert len(broker.leases()) == 1, "it no longer waits"


def test_a_lease_of_a_dead_thread_is_taken_back(broker: Broker) -> None:
    taken = threading.Event()

    def die() -> None:
        broker.take(who("a dead thread"), alone=True)
        taken.set()

    thread = threading.Thread(target=die)
    thread.start()
    assert taken.wait(WAIT)
    thread.join()
    with broker.lease(who("a picture")):
        assert facts(broker) == [("a picture", False, False)]


def test_a_lease_of_a_killed_process_is_taken_back(
    broker: Broker, pool: ThreadPoolExecutor
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        number = broker.take(Holder("a training", is_alive=process(child.pid)), alone=True)
        assert facts(broker) == [("a training", True, False)], "it outlives who took it"

        def paint() -> str:
            with broker.lease(who("a picture")):
                return "painted"

        painting = pool.submit(paint)
        time.sleep(0.1)
        assert not painting.done()
        child.kill()  # nobody waits for it: it is a zombie from now on
        assert painting.result(WAIT) == "painted"
    finally:
        child.kill()
        child.wait()
    broker.give_back(number)  # a late word of the dead changes nothing
    assert broker.leases() == []


def test_a_dead_one_who_waits_holds_nobody_up(broker: Broker, pool: ThreadPoolExecutor) -> None:
    alive = [True]
    with ExitStack() as stack:
        stack.enter_context(broker.lease(who("a picture")))
        waiting = pool.submit(
            broker.take, Holder("a doomed training", is_alive=lambda: alive[0]), alone=True
        )
        until(lambda: len(broker.leases()) == 2)
        alive[0] = False
        stack.enter_context(broker.lease(who("another picture")))
        alive[0] = True
    waiting.result(WAIT)


def test_a_process_that_never_was_is_dead() -> None:
    assert not process(2**22 + 1)()


def test_an_eviction_that_fails_gives_the_device_back() -> None:
    def fail() -> None:
        raise RuntimeError("stuck")

    broker = Broker(fail, Journal())
    with pytest.raises(RuntimeError, match="stuck"), broker.lease(who("a training"), alone=True):
        pass
    assert broker.leases() == []


def test_leases_are_counted() -> None:
    journal = Journal()
    broker = Broker(lambda: None, journal)
    with broker.lease(who("a picture")):
        pass
    for event in ("lease", "return"):
        counted = journal.registry.get_sample_value("atelier_broker_events_total", {"event": event})
        assert counted == 1


def test_who_is_at_work_already_has_the_device_beside_others(broker):
    """A run that outlived its server asks nobody; those who come wait for it all the same."""
    alive = [True]
    first = broker.take(who("a picture"))
    broker.adopt(Holder("a training", is_alive=lambda: alive[0]))
    broker.adopt(Holder("another training", is_alive=lambda: alive[0]))
    assert [(lease.holder.title, lease.alone) for lease in broker.leases()] == [
        ("a picture", False),
        ("a training", True),
        ("another training", True),
    ]
    told: list[str] = []

    def on_wait(held) -> None:
        told.extend(lease.holder.title for lease in held)
        alive[0] = False

    broker.give_back(broker.take(who("an edit"), on_wait=on_wait))
    assert told == ["a training", "another training"]
    broker.give_back(first)
    assert broker.leases() == []
