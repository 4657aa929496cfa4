"""Adapters that models are lent with: who sees them, who waits, and what is left of a failure."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from studio.context import ModelSpec, Rung, Worn
from studio.errors import ModelError
from studio.models.manager import ModelManager
from studio.models.slots import Footprint

WAIT = 5.0
"""Seconds after which a thread that still waits has been forgotten."""


class Model:
    """What wears something."""

    def __init__(self) -> None:
        self.worn: tuple[Worn, ...] = ()


class Wardrobe:
    """A loader of models that wear whatever is asked for, but for "torn", which rips half-way."""

    def __init__(self) -> None:
        self.models: list[Model] = []
        self.dressings = 0
        self.stuck = False

    def title(self, model_id: str) -> str:
        return model_id

    def estimate(self, model_id: str, rungs: tuple[Rung, ...]) -> Footprint:
        return Footprint(10, 10)

    def load(self, model_id: str, rungs: tuple[Rung, ...]) -> Model:
        self.models.append(Model())
        return self.models[-1]

    def measure(self, model: Model) -> int:
        return 10 + len(model.worn)

    def view(self, model: Model, task: str) -> Model:
        return model

    def dress(self, model: Model, spec: ModelSpec) -> None:
        worn = spec.adapters
        self.dressings += 1
        if self.stuck and not worn:
            raise RuntimeError("stuck")
        model.worn = ()
        time.sleep(0.02)
        model.worn = worn
        if any(each.name == "torn" for each in worn):
            raise ModelError("It is torn.")


@pytest.fixture
def wardrobe() -> Wardrobe:
    return Wardrobe()


@pytest.fixture
def manager(wardrobe: Wardrobe) -> ModelManager:
    return ModelManager({"toy": wardrobe}, lambda: 100)


def spec(*names: str, model: str = "apple") -> ModelSpec:
    return ModelSpec("toy", model, "", tuple(Worn(name, 1.0, 1.0) for name in names))


@contextmanager
def elsewhere(manager: ModelManager, wanted: ModelSpec) -> Iterator[threading.Event]:
    """A borrower in another thread that holds the model until the block ends."""
    taken, give = threading.Event(), threading.Event()

    def hold() -> None:
        with manager.borrow(wanted):
            taken.set()
            assert give.wait(WAIT)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        try:
            yield taken
        finally:
            give.set()
            held.result(WAIT)


def test_a_model_wears_what_it_is_asked_with_and_nothing_afterwards(
    manager: ModelManager, wardrobe: Wardrobe
) -> None:
    for names in (("hat",), (), ("hat", "scarf"), ("scarf",)):
        with manager.borrow(spec(*names)) as model:
            assert [each.name for each in model.worn] == list(names)
    assert len(wardrobe.models) == 1, "the base is loaded once"


def test_the_same_again_costs_nothing(manager: ModelManager, wardrobe: Wardrobe) -> None:
    for _ in range(3):
        with manager.borrow(spec("hat")):
            pass
    assert wardrobe.dressings == 1
    for _ in range(3):
        with manager.borrow(spec()):
            pass
    assert wardrobe.dressings == 2


def test_who_wants_the_same_shares_it(manager: ModelManager) -> None:
    with elsewhere(manager, spec("hat")) as taken:
        assert taken.wait(WAIT)
        with manager.borrow(spec("hat")) as model:
            assert [each.name for each in model.worn] == ["hat"]


@pytest.mark.parametrize(("first", "second"), [(("hat",), ()), ((), ("hat",)), (("a",), ("b",))])
def test_who_wants_it_otherwise_waits_until_it_is_given_back(
    manager: ModelManager, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    with ThreadPoolExecutor(1) as pool, ExitStack() as loan:
        model = loan.enter_context(manager.borrow(spec(*first)))

        def other() -> list[str]:
            with manager.borrow(spec(*second)) as mine:
                return [each.name for each in mine.worn]

        late = pool.submit(other)
        time.sleep(0.1)
        assert not late.done()
        assert [each.name for each in model.worn] == list(first)
        with elsewhere(manager, spec(*first)) as taken:
            assert taken.wait(WAIT), "whoever wants the same need not wait"
        assert not late.done()
        loan.close()
        assert late.result(WAIT) == list(second)


def test_eight_threads_never_see_what_another_one_wears(manager: ModelManager) -> None:
    def work(number: int) -> int:
        wrong = 0
        for turn in range(12):
            names = (("hat",), (), ("scarf",), ("hat", "scarf"))[(number + turn) % 4]
            with manager.borrow(spec(*names, model=("apple", "pear")[turn % 2])) as model:
                wrong += [each.name for each in model.worn] != list(names)
                time.sleep(0.001)
                wrong += [each.name for each in model.worn] != list(names)
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [0] * 8


def test_what_is_half_put_on_is_taken_off_again(manager: ModelManager) -> None:
    with pytest.raises(ModelError, match="torn"), manager.borrow(spec("hat", "torn")):
        raise AssertionError("nobody gets a model that is half dressed")
    with manager.borrow(spec()) as model:
        assert model.worn == ()
    with manager.borrow(spec("hat")) as model:
        assert [each.name for each in model.worn] == ["hat"]


def test_a_model_that_cannot_be_mended_is_loaded_anew(
    manager: ModelManager, wardrobe: Wardrobe
) -> None:
    with manager.borrow(spec()):
        pass
    wardrobe.stuck = True
    with pytest.raises(ModelError, match="torn"), manager.borrow(spec("torn")):
        raise AssertionError("nobody gets it")
    assert manager.held() == []
    wardrobe.stuck = False
    with manager.borrow(spec()) as model:
        assert model.worn == ()
    assert len(wardrobe.models) == 2


def test_what_is_worn_counts_as_memory(manager: ModelManager) -> None:
    with manager.borrow(spec("hat", "scarf")):
        assert [each.bytes for each in manager.held()] == [12]
    with manager.borrow(spec()):
        assert [each.bytes for each in manager.held()] == [10]
