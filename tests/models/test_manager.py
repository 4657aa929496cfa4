"""The model manager with models that are just names, and threads that meet at it."""

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from studio.context import ModelSpec
from studio.errors import ModelError, OutOfMemory
from studio.models import manager as manager_module
from studio.models.journal import Journal
from studio.models.manager import ModelManager
from studio.models.slots import Footprint, Held

MB = 10**6
WAIT = 5.0
"""Seconds after which a thread that still waits has been forgotten."""


class Weights:
    """What a model holds."""

    def __init__(self, name: str):
        self.name = name


class Shelf:
    """A loader of models by name: `apple:30` is one of 30 MB."""

    def __init__(self):
        self.loads: list[str] = []
        self.faults: list[BaseException] = []
        self.views = 0
        self.gate = threading.Event()
        self.gate.set()
        self.loading = threading.Event()

    def title(self, model_id):
        return model_id.partition(":")[0].capitalize()

    def estimate(self, model_id, rungs):
        if "damaged" in model_id:
            raise ModelError("The model is damaged.")
        size = int(model_id.partition(":")[2]) * MB
        return Footprint(size, size)

    def load(self, model_id, rungs):
        self.loads.append(model_id)
        self.loading.set()
        assert self.gate.wait(WAIT)
        if self.faults:
            raise self.faults.pop(0)
        return Weights(model_id)

    def measure(self, model):
        return int(model.name.partition(":")[2]) * MB

    def view(self, model, task):
        if task == "refused":
            raise ModelError("There is no such task.")
        self.views += 1
        return (task, model)


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


def toy(model_id: str, task: str = "") -> ModelSpec:
    return ModelSpec("toy", model_id, task)


def use(manager: ModelManager, *ids: str) -> None:
    for model_id in ids:
        with manager.borrow(toy(model_id)):
            pass


def names(manager: ModelManager) -> list[str]:
    return [held.title for held in manager.held()]


def test_asking_twice_loads_once(manager, shelf):
    with manager.borrow(toy("apple:10")) as (_, first):
        pass
    with manager.borrow(toy("apple:10")) as (_, second):
        assert second is first
    assert shelf.loads == ["apple:10"]


def test_all_tasks_share_one_set_of_weights(manager, shelf):
    with (
        manager.borrow(toy("apple:10", "text2image")) as (task, weights),
        manager.borrow(toy("apple:10", "inpaint")) as (other_task, other_weights),
    ):
        assert (task, other_task) == ("text2image", "inpaint")
        assert weights is other_weights
    with manager.borrow(toy("apple:10", "inpaint")) as again:
        assert again == ("inpaint", weights)
    assert shelf.loads == ["apple:10"]
    assert shelf.views == 2
    assert len(manager.held()) == 1


def test_many_who_ask_at_the_same_moment_load_once(manager, shelf):
    shelf.gate.clear()
    barrier = threading.Barrier(8)

    def borrow(task):
        barrier.wait()
        with manager.borrow(toy("apple:60", task)) as (_, weights):
            return weights

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(borrow, f"task {i % 2}") for i in range(8)]
        assert shelf.loading.wait(WAIT)
        time.sleep(0.05)
        assert not any(each.done() for each in asked)
        shelf.gate.set()
        found = {id(each.result(WAIT)) for each in asked}
    assert len(found) == 1
    assert shelf.loads == ["apple:60"]
    assert manager.held() == [Held("toy", "apple:60", "Apple", 60 * MB, in_use=False)]


def test_a_task_gets_one_view_even_when_two_ask_at_once(manager, shelf):
    both = threading.Barrier(2)
    real = shelf.view

    def slow(model, task):
        both.wait(WAIT)
        return real(model, task), object()

    use(manager, "apple:1")
    shelf.view = slow

    def borrow():
        with manager.borrow(toy("apple:1", "inpaint")) as view:
            return view

    with ThreadPoolExecutor(2) as pool:
        first, second = [each.result(WAIT) for each in [pool.submit(borrow) for _ in range(2)]]
    assert first is second


def test_only_the_one_who_loads_is_told(manager):
    told = []
    with manager.borrow(toy("apple:10"), told.append):
        pass
    with manager.borrow(toy("apple:10"), told.append):
        pass
    assert told == ["Apple"]


def test_other_models_are_not_held_up_by_a_slow_load(manager, shelf):
    use(manager, "pear:10")
    shelf.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(use, manager, "apple:10")
        assert shelf.loading.wait(WAIT)
        use(manager, "pear:10")
        assert len(manager.held()) == 2
        assert not slow.done()
        shelf.gate.set()
        slow.result(WAIT)


# Eviction


def test_the_least_recently_used_goes_first(manager, shelf, released):
    use(manager, "apple:40", "pear:40", "apple:40")
    assert released == []
    use(manager, "plum:40")
    assert sorted(names(manager)) == ["Apple", "Plum"]
    assert released == [1]
    use(manager, "pear:40")
    assert sorted(names(manager)) == ["Pear", "Plum"]
    assert shelf.loads == ["apple:40", "pear:40", "plum:40", "pear:40"]


def test_no_more_goes_than_must(manager):
    use(manager, "apple:30", "pear:30", "plum:30")
    use(manager, "fig:35")
    assert sorted(names(manager)) == ["Fig", "Pear", "Plum"]


def test_several_go_when_they_must(manager, released):
    use(manager, "apple:30", "pear:30", "plum:30")
    use(manager, "melon:100")
    assert names(manager) == ["Melon"]
    assert released == [1], "memory is given back once, before the load"


def test_memory_is_given_back_before_the_load_begins(manager, shelf, released):
    use(manager, "apple:80")
    seen = []
    real = shelf.load

    def load(model_id, rungs):
        seen.append((list(released), names(manager)))
        return real(model_id, rungs)

    shelf.load = load
    use(manager, "pear:80")
    assert seen == [([1], ["Pear"])]


def test_a_borrowed_model_is_never_evicted(manager, shelf):
    use(manager, "pear:30")
    with manager.borrow(toy("apple:30")) as (_, weights):
        use(manager, "plum:30", "fig:70")
        assert sorted(names(manager)) == ["Apple", "Fig"]
        with manager.borrow(toy("apple:30")) as (_, again):
            assert again is weights
        assert not manager.unload("toy", "apple:30")
        use(manager, "melon:70")
        assert "Apple" in names(manager)
    use(manager, "fig:90")
    assert names(manager) == ["Fig"]


def test_a_model_that_is_held_twice_stays_until_both_gave_it_back(manager):
    outer = manager.borrow(toy("apple:60"))
    outer.__enter__()
    with manager.borrow(toy("apple:60")):
        pass
    with pytest.raises(OutOfMemory):
        use(manager, "pear:60")
    outer.__exit__(None, None, None)
    use(manager, "pear:60")
    assert names(manager) == ["Pear"]


def test_a_refused_loan_says_what_was_needed_what_is_free_and_what_holds_the_rest(manager, shelf):
    use(manager, "pear:20")
    with (
        manager.borrow(toy("apple:50")),
        pytest.raises(OutOfMemory) as caught,
        manager.borrow(toy("melon:70")),
    ):
        pass
    message = str(caught.value)
    assert "Melon needs 70 MB" in message
    assert "30 MB of the budget of 100 MB is free" in message
    assert "Apple 50 MB" in message
    assert "Pear 20 MB" in message
    assert "ATELIER_MEMORY_BUDGET" in message
    assert "\n" not in message
    assert shelf.loads == ["pear:20", "apple:50"]
    assert sorted(names(manager)) == ["Apple", "Pear"], "nothing is evicted in vain"


def test_a_model_larger_than_the_budget(manager, shelf):
    with pytest.raises(OutOfMemory, match=r"100 MB of the budget of 100 MB is free .*nothing"):
        use(manager, "melon:101")
    assert shelf.loads == []
    use(manager, "melon:100")


def test_room_is_taken_from_the_start_of_a_load(manager, shelf):
    shelf.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(use, manager, "apple:60")
        assert shelf.loading.wait(WAIT)
        waits = pool.submit(use, manager, "pear:60")
        time.sleep(0.05)
        assert shelf.loads == ["apple:60"], "two loads would promise the same memory"
        assert manager.held() == [Held("toy", "apple:60", "Apple", 60 * MB, in_use=True)]
        assert not manager.unload("toy", "apple:60")
        shelf.gate.set()
        slow.result(WAIT)
        waits.result(WAIT)
    assert names(manager) == ["Pear"]


def test_what_a_model_really_holds_counts_once_it_is_known(manager, shelf):
    shelf.measure = lambda model: 90 * MB
    use(manager, "apple:10")
    assert manager.held()[0].bytes == 90 * MB
    use(manager, "pear:20")
    assert names(manager) == ["Pear"]


def test_the_budget_may_change_while_the_server_runs(shelf):
    budget = [10 * MB]
    manager = ModelManager({"toy": shelf}, lambda: budget[0])
    with pytest.raises(OutOfMemory):
        use(manager, "apple:20")
    budget[0] = 20 * MB
    use(manager, "apple:20")


# Faults


@pytest.mark.parametrize("fault", [ModelError("damaged."), RuntimeError("x"), KeyboardInterrupt()])
def test_a_failing_load_leaves_nothing_and_is_tried_again(manager, shelf, released, fault):
    shelf.faults = [fault]
    with pytest.raises(type(fault)):
        use(manager, "apple:90")
    assert manager.held() == []
    assert released == [1]
    use(manager, "apple:90")
    assert names(manager) == ["Apple"]


def test_one_who_waited_for_a_failing_load_tries_it_again(manager, shelf):
    shelf.gate.clear()
    shelf.faults = [ModelError("damaged.")]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(use, manager, "apple:60")
        assert shelf.loading.wait(WAIT)
        second = pool.submit(use, manager, "apple:60")
        time.sleep(0.05)
        shelf.gate.set()
        with pytest.raises(ModelError):
            first.result(WAIT)
        second.result(WAIT)
    assert shelf.loads == ["apple:60", "apple:60"]
    assert manager.held() == [Held("toy", "apple:60", "Apple", 60 * MB, in_use=False)]


def _fail(*_args):
    raise RuntimeError("broken")


@pytest.mark.parametrize("broken", ["measure", "told", "release"])
def test_a_fault_around_a_load_leaves_nothing_either(shelf, broken):
    """Whoever asked next would wait for ever for a load that nobody does."""
    releases = iter([_fail if broken == "release" else int])
    manager = ModelManager({"toy": shelf}, lambda: 100 * MB, lambda: next(releases, int)())
    use(manager, "pear:50")
    if broken == "measure":
        shelf.measure, measure = _fail, shelf.measure
    told = _fail if broken == "told" else len
    with (
        pytest.raises(RuntimeError, match="broken"),
        manager.borrow(toy("apple:90"), told),
    ):
        pass
    assert manager.held() == []
    if broken == "measure":
        shelf.measure = measure
    with ThreadPoolExecutor(1) as pool:
        pool.submit(use, manager, "apple:90").result(WAIT)


def test_an_unusable_model_takes_no_room(manager, shelf):
    with pytest.raises(ModelError, match="damaged"):
        use(manager, "damaged:10")
    assert manager.held() == []
    assert shelf.loads == []


def test_a_view_that_fails_gives_the_model_back(manager):
    with (
        pytest.raises(ModelError, match="no such task"),
        manager.borrow(toy("apple:90", "refused")),
    ):
        pass
    assert [held.in_use for held in manager.held()] == [False]
    use(manager, "pear:90")


def test_a_fault_of_the_borrower_gives_the_model_back(manager):
    with pytest.raises(RuntimeError, match="mine"), manager.borrow(toy("apple:90")):
        raise RuntimeError("mine")
    use(manager, "pear:90")


# Unloading and telling


def test_unload(manager, shelf, released):
    use(manager, "apple:10")
    assert not manager.unload("toy", "pear:10")
    assert manager.unload("toy", "apple:10")
    assert not manager.unload("toy", "apple:10")
    assert manager.held() == []
    assert released == [1]
    use(manager, "apple:10")
    assert shelf.loads == ["apple:10"] * 2


def test_held_names_the_most_recently_used_first(manager):
    use(manager, "apple:10", "pear:10")
    assert names(manager) == ["Pear", "Apple"]
    use(manager, "apple:10")
    assert names(manager) == ["Apple", "Pear"]
    with manager.borrow(toy("plum:10")):
        assert names(manager) == ["Plum", "Apple", "Pear"]
        assert [held.in_use for held in manager.held()] == [True, False, False]
        with manager.borrow(toy("pear:10")):
            assert names(manager)[0] == "Pear"


def test_kinds_do_not_meet(shelf):
    other = Shelf()
    manager = ModelManager({"toy": shelf, "reader": other}, lambda: 100 * MB)
    use(manager, "apple:10")
    with manager.borrow(ModelSpec("reader", "apple:10")):
        assert {(held.kind, held.id) for held in manager.held()} == {
            ("toy", "apple:10"),
            ("reader", "apple:10"),
        }
    with pytest.raises(OutOfMemory, match="Apple 10 MB, Apple 10 MB"):
        use(manager, "melon:101")


class Counted(Shelf):
    """A loader that counts what is in memory, and who loads what at the same time."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.at_work: list[str] = []
        self.twice: list[str] = []

    def load(self, model_id, rungs):
        with self.lock:
            if model_id in self.at_work:
                self.twice.append(model_id)
            self.at_work.append(model_id)
        time.sleep(0.002)
        weights = super().load(model_id, rungs)
        size = self.measure(weights)
        with self.lock:
            self.at_work.remove(model_id)
            self.now += size
            self.most = max(self.most, self.now)
        weakref.finalize(weights, self.freed, size)
        return weights

    def freed(self, size):
        with self.lock:
            self.now -= size


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
