"""A cluster that cannot be joined, and who is hired and let go as places come and go."""

import signal
import sys
import threading
from dataclasses import dataclass, field

import pytest

from studio.cluster import joining
from studio.cluster.roster import Hand, Roster
from studio.errors import SettingsError
from studio.services import build_services


def test_without_ray_the_start_is_refused(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"ATELIER_CLUSTER.*'auto'.*install atelier\[cluster\]"):
        joining.join("auto")


@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused_and_the_signal_stays_ours(settings):
    pytest.importorskip("ray", reason="Ray is not installed; install atelier[cluster].")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SettingsError, match=r"'auto', but that cannot be reached \(Could not find"):
        build_services(settings, cluster="auto")
    assert signal.getsignal(signal.SIGTERM) is before


@dataclass
class Engine:
    """As much of a remote engine as a roster looks at."""

    is_up: bool = False
    is_hopeless: bool = False


@dataclass
class Office:
    """Where hands are hired for as many places as a test says."""

    there: dict[str, int] = field(default_factory=dict)
    gone: list[Hand] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roster = Roster(lambda: self.there, self.hire, lambda hand, _: self.gone.append(hand))

    def hire(self, resource: str) -> Hand:
        return Hand(resource, Engine(), worker=None, places=[])

    def look(self, **there: int) -> list[str]:
        """By resource, whoever is there after a look."""
        self.there = there
        self.roster.look()
        return [hand.resource for hand in self.roster.hands]


def test_there_is_a_hand_for_each_place():
    office = Office()
    assert office.look(GPU=2, atelier=1) == ["GPU", "GPU", "atelier"]
    assert office.look(GPU=2, atelier=1) == ["GPU", "GPU", "atelier"]
    assert office.look(GPU=3, atelier=1) == ["GPU", "GPU", "atelier", "GPU"]


def test_who_waits_for_a_place_goes_and_not_who_works():
    office = Office()
    office.look(GPU=3)
    first, second, third = office.roster.hands
    second.engine.is_up = True
    office.look(GPU=1)
    assert office.roster.hands == [second]
    assert office.gone == [first, third]
    office.look(GPU=0)
    assert office.roster.hands == [second], "its node is there as long as it works"
    second.engine.is_up = False
    assert office.look(GPU=0) == []


def test_one_that_cannot_work_is_hired_anew_after_a_while(monkeypatch):
    office = Office()
    office.look(GPU=1)
    (hand,) = office.roster.hands
    hand.engine.is_hopeless = True
    office.look(GPU=1)
    assert office.roster.hands == [hand]
    monkeypatch.setattr("studio.cluster.roster._HOPELESS_SECONDS", -1.0)
    office.look(GPU=1)
    assert office.gone == [hand]
    assert office.roster.hands != [hand]
    assert len(office.roster.hands) == 1


def test_trouble_with_the_cluster_is_said_once_and_its_end_too(monkeypatch, caplog):
    caplog.set_level("INFO", "studio.cluster.roster")
    monkeypatch.setattr("studio.cluster.roster._LOOK_SECONDS", 0.01)
    looks, over = [], threading.Event()

    def there() -> dict[str, int]:
        looks.append(len(looks))
        if len(looks) > 4:
            over.set()
        if len(looks) in {2, 3, 4}:
            raise ConnectionError(f"No answer after {len(looks)} looks.")
        return {}

    roster = Roster(there, lambda resource: pytest.fail(resource), lambda hand, _: None)
    roster.start()
    assert over.wait(10.0)
    roster.stop()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "can be looked at again" in caplog.records[1].message
