"""What lies on the disk, and whose it is."""

import time

import pytest
from sample_pictures import picture, png

from studio.errors import Forbidden
from studio.people import Person, Role, acting_as
from studio.store.belongings import Belongings, Sort
from studio.store.disk import SORTS, Disk, size
from studio.store.inputs import InputStore
from studio.store.outputs import mask_beside

ADA = Person(1, "Ada", Role.MEMBER)
BEN = Person(2, "Ben", Role.MEMBER)


@pytest.fixture
def lies(tmp_path):
    """Puts a file of so many bytes somewhere into the data folder."""

    def put(place: str, number: int) -> None:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)

    return put


def measured(disk: Disk) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    disk.look(again=True)
    disk.wait()
    found = disk.last()
    assert found is not None
    people = {
        each.person: {k: v for k, v in each.bytes.items() if v}
        for each in found.people
        if each.total
    }
    return people, dict(found.rest)


def test_everything_is_somebodys_or_nobodys(database, jobs, outputs, tmp_path, lies):
    disk = Disk(tmp_path, database, lambda: [(2, tmp_path / "trash" / "models" / "k")])
    things = Belongings(database)
    own, foreign = jobs.add("generate", "{}", person=ADA).id, jobs.add("generate", "{}").id
    saved = [outputs.save(own, picture("a red apple", seed)) for seed in (1, 2)]
    outputs.trash(saved[1:])
    mine, thrown = (outputs.path(each).stat().st_size for each in saved)
    studios = outputs.path(outputs.save(foreign, picture("a pear", 3))).stat().st_size
    mask_beside(outputs.path(saved[0])).write_bytes(b"x" * 70)
    for person in (ADA, BEN):
        with acting_as(person):
            InputStore(tmp_path, database).add_picture(png(16, 16))
    sent = size(tmp_path / "inputs")
    with acting_as(ADA):
        things.of(Sort.MODEL).keep("loras/ada.safetensors")
        things.of(Sort.RUN).keep("dog")
        things.of(Sort.DATA_SET).keep("ours")
    with acting_as(BEN):
        things.of(Sort.PICTURES).keep("cats")
        things.of(Sort.MODEL).keep("loras/gone.safetensors")
    for place, number in (
        ("models/loras/ada.safetensors", 1000),
        ("models/big.safetensors", 5000),
        ("runs/dog/a/b", 300),
        ("runs/dog/c", 30),
        ("runs/nobodys/c", 7),
        ("data_sets/ours.json.gz", 90),
        ("pictures/cats/1.png", 400),
        ("trash/models/k/thrown.safetensors", 600),
        ("cache/hashes.json", 11),
    ):
        lies(place, number)
    people, rest = measured(disk)
    assert people[1] == {
        "pictures": mine,
        "trash": thrown,
        "inputs": sent,
        "models": 1000,
        "trainings": 330,
        "data sets": 90,
    }
    assert people[2] == {"inputs": sent, "picture sets": 400, "trash": 600}
    assert people[0] == {"pictures": studios, "models": 5000, "trainings": 7}
    assert (rest["outputs"], rest["cache"]) == (70, 11)
    assert not {"models", "runs", "pictures", "data_sets", "trash", "inputs"} & set(rest)
    whole = sum(sum(each.values()) for each in people.values()) + sum(rest.values())
    assert abs(whole - sent - size(tmp_path)) < 100_000, "but for what the database writes"
    assert set(SORTS) >= {sort for each in people.values() for sort in each}


def test_it_is_measured_when_somebody_looks_and_not_at_every_look(database, tmp_path, monkeypatch):
    disk = Disk(tmp_path, database)
    assert disk.last() is None
    disk.look()
    disk.wait()
    first = disk.last()
    disk.look()
    disk.wait()
    assert disk.last() is first
    disk.look(again=True)
    disk.wait()
    second = disk.last()
    assert second is not first
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 4000)
    disk.look()
    disk.wait()
    assert disk.last() is not second
    assert 0 < disk.room().free <= disk.room().total


def test_it_is_told_to_administrators_alone(database, tmp_path):
    disk = Disk(tmp_path, database)
    for ask in (disk.last, disk.look):
        with acting_as(ADA), pytest.raises(Forbidden):
            ask()


def test_what_goes_away_meanwhile_counts_nothing(tmp_path):
    assert size(tmp_path / "none") == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    (tmp_path / "a" / "dead").symlink_to(tmp_path / "none")
    (tmp_path / "a" / "file").write_bytes(b"12345")
    assert size(tmp_path / "a") == 5
