"""How often a password may be tried."""

import pytest

from studio.api import tries
from studio.api.tries import ALL, EACH, EACH_SECONDS, Tries


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock) -> Tries:
    return Tries(clock)


def test_an_address_has_so_many_and_one_more_now_and_then(kept, clock):
    for _ in range(EACH):
        assert kept.wait("192.0.2.1") == 0
        kept.failed("192.0.2.1")
    wait = kept.wait("192.0.2.1")
    assert 0 < wait <= EACH_SECONDS
    clock.now += wait
    assert kept.wait("192.0.2.1") == 0
    kept.failed("192.0.2.1")
    assert kept.wait("192.0.2.1") > 0
    clock.now += EACH * EACH_SECONDS
    for _ in range(EACH):
        assert kept.wait("192.0.2.1") == 0
        kept.failed("192.0.2.1")


def test_guessing_for_a_day_gets_little_done(kept, clock):
    tried, end = 0, clock.now + 86_400
    while clock.now < end:
        if kept.wait("192.0.2.1"):
            clock.now += 1
        else:
            kept.failed("192.0.2.1")
            tried += 1
    assert tried < 15_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("unix", "", True),
    ],
)
def test_who_counts_as_one(kept, one, other, same):
    for _ in range(EACH):
        kept.failed(one)
    assert (kept.wait(other) > 0) == same


def test_many_addresses_have_a_limit_together(kept):
    for number in range(ALL):
        kept.failed(f"10.0.{number // 256}.{number % 256}")
    assert kept.wait("192.0.2.1") > 0


def test_what_is_remembered_does_not_grow(kept, monkeypatch):
    monkeypatch.setattr(tries, "_REMEMBERED", 50)
    for number in range(500):
        kept.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(kept._each) == 50
