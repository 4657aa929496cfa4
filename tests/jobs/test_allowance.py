"""Quotas of a person: what counts, what is refused in which words, and when there is room again."""

import time
from dataclasses import replace

import pytest
from sqlalchemy import text

from studio.errors import Forbidden, QueueFull, QuotaUsed
from studio.events import Status
from studio.jobs.allowance import DAY, MONTH, Allowance
from studio.people import HOME, Person, Role, acting_as
from studio.reader_requests import FetchDataRequest
from studio.requests import GenerationRequest
from studio.store.belongings import Belongings, Sort
from studio.store.quotas import Quotas, QuotaTable
from studio.store.spending import Spending
from studio.training_requests import TrainRequest

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)
ERRAND = FetchDataRequest(name="dev-v2.0")
TRAINING = TrainRequest(name="dog", pictures="dogs")


@pytest.fixture
def allow(desk, tmp_path):
    """The allowance of a folder whose people may usually have so much."""

    def make(**usual: float) -> Allowance:
        return Allowance(
            tmp_path,
            QuotaTable(desk.database, replace(Quotas(), **usual)),
            Spending(desk.database),
            Belongings(desk.database),
        )

    return make


def images(number: int) -> GenerationRequest:
    return GenerationRequest(prompt="an apple", batch_count=number)


def made(desk, person: Person, number: int, ago: float = 0.0, asked: int | None = None) -> None:
    """Pictures of a job that asked for so many; without, the job has ended."""
    request = images(asked or max(1, number)).model_dump_json()
    row = desk.jobs.add("generate", request, person=person)
    with desk.database.write() as db:
        for place in range(number):
            db.execute(
                text(
                    "INSERT INTO outputs (job_id, created_at, file, width, height, bytes, seed,"
                    " model, prompt, negative_prompt, infotext, request, owner) VALUES (:job, :at,"
                    " :file, 8, 8, 1000, 1, 'm', '', '', '', '{}', :owner)"
                ),
                {
                    "job": row.id,
                    "at": time.time() - ago,
                    "file": f"{row.id}-{place}.png",
                    "owner": person.id,
                },
            )
    if asked is None:
        desk.jobs.move(row.id, Status.CANCELLED)


def trained(desk, person: Person, start: float, end: float) -> None:
    """A training, by its begin and end in hours ago."""
    row = desk.jobs.add("train", "{}", person=person)
    now = time.time()
    with desk.database.write() as db:
        db.execute(
            text(
                "UPDATE jobs SET status = 'finished', started_at = :start, ended_at = :end"
                " WHERE id = :id"
            ),
            {"id": row.id, "start": now - start * 3600, "end": now - end * 3600},
        )


def test_without_quotas_everything_is_admitted(desk, allow):
    made(desk, ADA, 5)
    with acting_as(ADA):
        allow().admit(images(100))
        allow().admit(TRAINING)


def test_so_many_jobs_may_wait(desk, allow):
    allowance = allow(waiting_jobs=2)
    for _ in range(2):
        desk.jobs.add("errand", "{}", person=ADA)
    with acting_as(ADA), pytest.raises(QuotaUsed, match="2 waiting jobs, and 2 of yours wait"):
        allowance.admit(ERRAND)
    with acting_as(BOB):
        allowance.admit(ERRAND)
    desk.jobs.claim_next("runner")
    with acting_as(ADA):
        allowance.admit(ERRAND)


def test_so_many_images_a_day_may_be_made(desk, allow):
    allowance = allow(images_a_day=10)
    made(desk, ADA, 6, ago=DAY + 60)
    made(desk, ADA, 4, ago=DAY - 3 * 3600 - 30)
    made(desk, ADA, 3)
    with acting_as(ADA):
        allowance.admit(images(3))
        with pytest.raises(QuotaUsed) as refused:
            allowance.admit(images(4))
    assert str(refused.value) == (
        "You may make 10 images a day: 7 were made in the last 24 hours, 0 are to come, and this "
        "would be 4 more; there is room again in 3 h 1 min."
    )
    assert refused.value.seconds == pytest.approx(3 * 3600 + 30, abs=5)
    assert isinstance(refused.value, QueueFull), "programs know it by its status 429"


def test_images_that_are_to_come_count(desk, allow):
    allowance = allow(images_a_day=10)
    made(desk, ADA, 2, asked=8)
    assert allowance.used(ADA.id).images_to_come == 6
    with acting_as(ADA):
        allowance.admit(images(2))
        with pytest.raises(QuotaUsed, match=r"2 were made .*, 6 are to come, and this would be 3"):
            allowance.admit(images(3))
        with pytest.raises(QuotaUsed, match="ask for fewer"):
            allowance.admit(images(11))


def test_so_many_hours_may_be_trained_in_a_month(desk, allow):
    allowance = allow(training_hours=5)
    trained(desk, ADA, start=800, end=790)  # before the month
    trained(desk, ADA, start=30 * 24 - 10, end=30 * 24 - 14)
    trained(desk, ADA, start=2, end=1.5)
    with acting_as(ADA):
        allowance.admit(TRAINING)
    trained(desk, ADA, start=1.5, end=0)
    with acting_as(ADA):
        with pytest.raises(QuotaUsed, match=r"5 hours in 30 days and have trained 6\.0") as refused:
            allowance.admit(TRAINING)
        allowance.admit(images(1))
    # Of the first training's four hours, which begin to leave in ten, one must have left.
    assert refused.value.seconds == pytest.approx(11 * 3600, abs=5)
    assert refused.value.seconds < MONTH


def test_so_much_may_be_kept(desk, allow, tmp_path):
    allowance = allow(disk=5000)
    made(desk, ADA, 3)
    with acting_as(ADA):
        allowance.admit(images(1))
        allowance.admit_files()
        Belongings(desk.database).of(Sort.PICTURES).keep("dogs")
    (tmp_path / "pictures" / "dogs" / "inner").mkdir(parents=True)
    (tmp_path / "pictures" / "dogs" / "inner" / "a.png").write_bytes(bytes(2000))
    assert allowance.used(ADA.id).disk == 5000
    for admit in (allowance.admit_files, lambda: allowance.admit(images(1))):
        with acting_as(ADA), pytest.raises(QuotaUsed, match="delete something first"):
            admit()
    with acting_as(BOB):
        allowance.admit_files()


def test_administrators_are_not_limited(desk, allow):
    allowance = allow(waiting_jobs=1, images_a_day=1, training_hours=0.1, disk=1)
    for person in (ROOT, HOME):
        desk.jobs.add("errand", "{}", person=person)
        made(desk, person, 3)
        trained(desk, person, 5, 1)
        with acting_as(person):
            allowance.admit(images(5))
            allowance.admit(TRAINING)
    assert allowance.limits(ROOT) == Quotas()


def test_a_person_may_have_more_or_less_than_is_usual(desk, allow):
    allowance = allow(waiting_jobs=2, images_a_day=10)
    with acting_as(ROOT):
        allowance.quotas.set(ADA.id, {"images_a_day": 100})
        allowance.quotas.set(ADA.id, {"disk": 7})
    assert allowance.limits(ADA) == Quotas(2, 100, 0, 7)
    assert allowance.limits(BOB) == Quotas(2, 10)
    with acting_as(ROOT):
        allowance.quotas.set(ADA.id, {"images_a_day": None, "disk": 0})
    assert allowance.limits(ADA) == Quotas(2, 10)
    with acting_as(ADA), pytest.raises(Forbidden):
        allowance.quotas.set(ADA.id, {"images_a_day": 0})


def test_the_queue_asks_at_submission(services):
    """As the whole studio is put together; a refused job leaves no row."""
    services.allowance.quotas.set(ADA.id, {"images_a_day": 2})
    with acting_as(ADA):
        services.queue.submit(images(2))
        with pytest.raises(QuotaUsed, match="2 are to come"):
            services.queue.submit(images(1))
        assert services.queue.page(0, 10).total == 1
    services.queue.submit(images(3))


def test_when_there_is_room_again(desk, allow):
    allowance = allow(images_a_day=3, training_hours=2)
    made(desk, ADA, 2, ago=DAY - 3600)
    assert allowance.room(ADA).images == 0
    made(desk, ADA, 1)
    trained(desk, ADA, start=20, end=18)
    room = allowance.room(ADA)
    assert room.images == pytest.approx(3600, abs=5)
    assert room.training == pytest.approx(MONTH - 20 * 3600, abs=5)
    assert (allowance.room(BOB).images, allowance.room(BOB).training) == (0, 0)
    assert allowance.room(replace(ADA, role=Role.ADMINISTRATOR)).images == 0
