"""The model manager with models that are just names, and threads that meet at it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from toy_models import MB, WAIT, Shelf, names, toy, use

from studio.context import ModelSpec
from studio.errors import ModelError, OutOfMemory
from studio.models.manager import ModelManager
from studio.models.slots import Held


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
