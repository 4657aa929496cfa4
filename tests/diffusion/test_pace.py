"""How long the rest takes."""

import pytest

from studio.diffusion.pace import Pace


class Clock:
    """A clock that goes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_known_before_the_first_step(clock: Clock) -> None:
    assert Pace(10, clock).seconds_left == 0


def test_even_steps_count_down_to_zero(clock: Clock) -> None:
    pace = Pace(4, clock)
    left = []
    for _ in range(4):
        clock.now += 2
        left.append(pace.step())
    assert left == pytest.approx([6, 4, 2, 0])


def test_average_follows_a_new_pace_slowly(clock: Clock) -> None:
    pace = Pace(100, clock)
    clock.now += 1
    assert pace.step() == pytest.approx(99)
    clock.now += 2
    assert pace.step() == pytest.approx(98 * 1.2)
    for _ in range(40):
        clock.now += 2
        pace.step()
    assert pace.seconds_left == pytest.approx(58 * 2, rel=0.01)


def test_left_out_steps_and_the_time_they_took_do_not_count(clock: Clock) -> None:
    pace = Pace(10, clock)
    clock.now += 1
    pace.step()
    clock.now += 50
    pace.leave_out(4)
    assert pace.seconds_left == pytest.approx(5)
    clock.now += 1
    assert pace.step() == pytest.approx(4)


def test_more_steps_than_announced_never_give_less_than_zero(clock: Clock) -> None:
    pace = Pace(1, clock)
    for _ in range(3):
        clock.now += 1
        assert pace.step() == 0
