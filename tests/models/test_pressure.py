"""Memory under pressure: who waits for room, who has to go, and where to."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from toy_models import MB, WAIT, Counted, Shelf, names, toy, use

from studio.errors import OutOfMemory
from studio.models import manager as manager_module
from studio.models.journal import Journal
from studio.models.manager import ModelManager


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def released() -> list[int]:
    return []


@pytest.fixture
def manager(shelf, released) -> ModelManager:
    """A manager with room for 100 MB."""
    return ModelManager({"toy": shelf}, lambda: 100 * MB, lambda: released.append(1))


def test_eight_threads_share_four_models_where_two_fit():
    """All finish, none is loaded twice at once, and the weights never pass the budget."""
    shelf = Counted()
    manager = ModelManager({"toy": shelf}, lambda: 100 * MB)
    fruits = ["apple:50", "pear:50", "plum:50", "fig:50"]
    start = threading.Barrier(8)

    def work(number):
        start.wait(WAIT)
        for turn in range(25):
            wanted = fruits[(number + turn * 3 + turn // 4) % 4]
            with manager.borrow(toy(wanted)):  # a name for it would keep it past its loan
                assert any(held.id == wanted and held.in_use for held in manager.held())
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(each.result(60) for each in [pool.submit(work, i) for i in range(8)])
    assert shelf.twice == []
    assert shelf.most <= 100 * MB
    assert len(shelf.loads) >= 4
    assert not any(held.in_use for held in manager.held())


def test_a_crowd_that_wants_models_of_many_sizes_is_served():
    """Nobody starves: the largest model takes most of the budget, and everyone gets it."""
    shelf = Counted()
    manager = ModelManager({"toy": shelf}, lambda: 100 * MB)
    fruits = [f"fruit{i}:{size}" for i, size in enumerate((20, 30, 40, 50, 90))]

    def work(start):
        for i in range(20):
            with manager.borrow(toy(fruits[(start + i * 3) % 5])):
                time.sleep(0.0005)
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(each.result(60) for each in [pool.submit(work, i) for i in range(6)])
    assert shelf.twice == []
    assert shelf.most <= 100 * MB


def test_who_has_waited_long_is_not_overtaken(monkeypatch):
    """Two who take turns with a small model never leave it idle; a large one comes all the same."""
    monkeypatch.setattr(manager_module, "_PATIENCE", 0.1)
    shelf = Counted()
    manager = ModelManager({"toy": shelf}, lambda: 100 * MB)
    served = threading.Event()

    def keep_busy(offset):
        time.sleep(offset)
        turns = 0
        while not served.is_set() and turns < 500:
            with manager.borrow(toy("apple:60")):
                time.sleep(0.02)
            turns += 1
        return turns

    def want():
        time.sleep(0.1)
        with manager.borrow(toy("melon:90")):
            served.set()

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(keep_busy, offset) for offset in (0, 0.01)]
        pool.submit(want).result(WAIT * 2)
        assert all(each.result(WAIT * 2) < 500 for each in busy)


def test_who_holds_a_model_does_not_wait_for_room():
    """Two that hold one each and want the other's room would wait for ever."""
    manager = ModelManager({"toy": Shelf()}, lambda: 100 * MB)
    both = threading.Barrier(2)

    def work(mine, other):
        with manager.borrow(toy(mine)):
            both.wait(WAIT)
            try:
                with manager.borrow(toy(other)):
                    return "had"
            except OutOfMemory:
                return "refused"

    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(work, "apple:50", "fig:40"), pool.submit(work, "pear:50", "plum:40")]
        assert "refused" in [each.result(WAIT) for each in tried]


# Memory that work takes


def roomy(shelf, free, **facts):
    """A manager of a device with so many MB free for weights and work."""
    return ModelManager({"toy": shelf}, lambda: 100 * MB, free=lambda: free[0] * MB, **facts)


def test_idle_models_make_room_for_work(shelf):
    free = [200]
    manager = roomy(shelf, free)
    use(manager, "apple:30", "pear:30")
    free[0] = 20
    with manager.borrow(replace(toy("pear:30"), work=10 * MB)):
        assert len(manager.held()) == 2, "there is room for that"
    with manager.borrow(replace(toy("pear:30"), work=40 * MB)):
        assert names(manager) == ["Pear"]


def test_work_that_does_not_fit_is_refused_with_what_it_needs(shelf):
    manager = roomy(shelf, [20])
    with (
        pytest.raises(OutOfMemory, match=r"needs 45 MB .* 20 MB") as caught,
        manager.borrow(replace(toy("apple:5"), work=40 * MB)),
    ):
        pass
    assert (caught.value.needed, caught.value.free) == (45 * MB, 20 * MB)
    assert manager.held() == []


def test_work_that_fits_once_others_are_done_waits_for_them(shelf):
    manager = roomy(shelf, [60])
    use(manager, "apple:10")
    with ThreadPoolExecutor(1) as pool:
        with manager.borrow(replace(toy("apple:10"), work=40 * MB)):
            late = pool.submit(use_with_work, manager, "pear:10", 40)
            time.sleep(0.1)
            assert not late.done()
        late.result(WAIT)


def use_with_work(manager, model_id, work):
    with manager.borrow(replace(toy(model_id), work=work * MB)):
        pass


# Main memory as a second place


class Mover(Counted):
    """A loader whose device has a memory of its own."""

    def __init__(self):
        super().__init__()
        self.moves: list[str] = []

    def rest(self, model):
        if "stuck" in model.name:
            raise RuntimeError("stuck")
        self.moves.append(f"rest {model.name}")

    def wake(self, model, rungs):
        self.moves.append(f"wake {model.name}")


def test_what_has_to_leave_the_device_rests_in_main_memory():
    shelf = Mover()
    manager = ModelManager({"toy": shelf}, lambda: 100 * MB, resting=lambda: 100 * MB)
    use(manager, "apple:60", "pear:60")
    assert [(held.title, held.resting) for held in manager.held()] == [
        ("Pear", False),
        ("Apple", True),
    ]
    use(manager, "apple:60", "pear:60", "apple:60")
    assert shelf.loads == ["apple:60", "pear:60"], "nothing is read again"
    assert shelf.moves[-2:] == ["rest pear:60", "wake apple:60"]
    assert manager.unload("toy", "pear:60"), "one that rests can be dropped"
    assert names(manager) == ["Apple"]


def test_main_memory_has_a_budget_too():
    shelf = Mover()
    manager = ModelManager({"toy": shelf}, lambda: 50 * MB, resting=lambda: 80 * MB)
    use(manager, "apple:40", "pear:40", "plum:40", "fig:45")
    assert sorted(names(manager)) == ["Fig", "Pear", "Plum"]
    use(manager, "melon:50", "kiwi:50")
    assert names(manager) == ["Kiwi", "Melon"], "two of 45 and 50 do not fit into 80"
    assert shelf.now <= (50 + 80) * MB


def test_one_that_cannot_rest_is_dropped():
    shelf = Mover()
    manager = ModelManager({"toy": shelf}, lambda: 50 * MB, resting=lambda: 80 * MB)
    use(manager, "stuck:40", "pear:40")
    assert names(manager) == ["Pear"]
    assert shelf.now == 40 * MB


def test_what_is_idle_for_long_leaves(manager, released):
    use(manager, "apple:10", "pear:10")
    assert manager.drop_idle(60) == []
    with manager.borrow(toy("apple:10")):
        assert manager.drop_idle(0) == ["Pear"]
    assert manager.drop_idle(0) == ["Apple"]
    assert released == [1, 1]


def test_all_that_is_idle_leaves_for_one_who_wants_the_device_alone(manager):
    use(manager, "apple:10", "pear:10")
    with manager.borrow(toy("apple:10")):
        assert manager.clear() == ["Pear"]
    assert names(manager) == ["Apple"]


def test_every_event_is_counted_and_logged(shelf, caplog):
    caplog.set_level("INFO", logger="studio.models.journal")
    journal = Journal()
    manager = ModelManager({"toy": shelf}, lambda: 50 * MB, journal=journal)
    use(manager, "apple:40", "pear:40")
    manager.unload("toy", "pear:40")
    counted = {
        event: journal.registry.get_sample_value("atelier_broker_events_total", {"event": event})
        for event in ("load", "unload")
    }
    assert counted == {"load": 2, "unload": 2}
    assert "broker event=load model=Apple bytes=40000000 seconds=" in caplog.text
    assert 'broker event=unload model=Apple bytes=40000000 why="room for Pear"' in caplog.text
