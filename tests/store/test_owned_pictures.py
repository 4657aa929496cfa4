"""Whose a picture is, kept or sent: for others it is not there."""

import io
import time

import pytest
from PIL import Image
from sqlalchemy import text

from studio.errors import NotFound
from studio.people import HOME, NOBODY, Person, Role, acting_as
from studio.store.database import Database
from studio.store.inputs import InputStore
from studio.store.outputs import Picture
from studio.store.tasks import TaskTable

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)


def png(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return data.getvalue()


def painted(model: str = "tiny") -> Picture:
    return Picture(png(), ".png", 8, 8, 1, model, "an apple", "", "", "{}")


@pytest.fixture
def owned(jobs, outputs) -> dict[Person, int]:
    """A picture of each of two people."""
    return {
        person: outputs.save(jobs.add("generate", "{}", person=person).id, painted(person.name))
        for person in (ADA, BOB)
    }


def test_a_picture_belongs_to_whose_job_has_made_it(outputs, owned):
    assert [outputs.get(owned[person]).owner for person in (ADA, BOB)] == [1, 2]


@pytest.mark.parametrize("look", ["get", "path", "thumbnail"])
def test_a_picture_is_not_there_for_others(outputs, owned, look):
    for person in (BOB, NOBODY):
        with acting_as(person), pytest.raises(NotFound):
            getattr(outputs, look)(owned[ADA])
    for person in (ADA, ROOT, HOME):
        with acting_as(person):
            getattr(outputs, look)(owned[ADA])


def test_the_gallery_shows_ones_own(outputs, owned):
    for person in (ADA, BOB):
        with acting_as(person):
            page = outputs.page(0, 10)
            assert ([row.id for row in page.rows], page.total) == ([owned[person]], 1)
            assert outputs.models() == [person.name]
    with acting_as(ROOT):
        assert outputs.page(0, 10).total == 2
    with acting_as(NOBODY):
        assert outputs.page(0, 10).total == 0
        assert outputs.models() == []


def test_everybody_has_an_own_trash(outputs, owned):
    with acting_as(BOB):
        outputs.trash([owned[ADA], owned[BOB]])
        assert outputs.page(0, 10, trash=True).total == 1
    with acting_as(ADA):
        assert outputs.page(0, 10).total == 1, "Bob's wish has not touched Ada's picture"
        outputs.restore([owned[BOB]])
        assert outputs.delete_trash(time.time() + 1) == 0
    assert outputs.get(owned[BOB]).trashed_at is not None
    with acting_as(BOB):
        assert outputs.delete_trash(time.time() + 1) == 1


def test_older_pictures_go_to_the_owners_of_their_jobs(database, owned, tmp_path, database_url):
    with database.write() as db:
        db.execute(text("DROP INDEX outputs_by_owner"))
        db.execute(text("ALTER TABLE outputs DROP COLUMN owner"))
        db.execute(text("DELETE FROM migrations WHERE name = 'owned outputs'"))
    again = Database(tmp_path, database_url)
    with again.read() as db:
        found = dict(db.execute(text("SELECT id, owner FROM outputs")).all())
    again.close()
    assert found == {owned[ADA]: 1, owned[BOB]: 2}


@pytest.fixture
def inputs(tmp_path, database) -> InputStore:
    return InputStore(tmp_path, database)


def test_a_sent_picture_is_there_for_who_has_sent_it(inputs):
    with acting_as(ADA):
        kept = inputs.add_picture(png())
        assert inputs.size(kept.hash) == (8, 8)
    for person in (BOB, NOBODY):
        with acting_as(person):
            for look in (inputs.path, inputs.open, inputs.size):
                with pytest.raises(NotFound):
                    look(kept.hash)
    with acting_as(ROOT):
        assert inputs.open(kept.hash).size == (8, 8)


def test_the_same_picture_may_be_sent_by_several(inputs):
    with acting_as(ADA):
        first = inputs.add_picture(png())
    with acting_as(BOB):
        assert inputs.add_picture(png()).hash == first.hash
        inputs.path(first.hash)
    with acting_as(ADA):
        inputs.add_picture(png())
        inputs.path(first.hash)


def test_the_studio_itself_needs_no_note(inputs, database):
    kept = inputs.add_picture(png("blue"))
    inputs.path(kept.hash)
    with acting_as(ADA), pytest.raises(NotFound):
        inputs.path(kept.hash)
    with database.read() as db:
        assert db.execute(text("SELECT count(*) FROM inputs")).scalar() == 0


def test_a_task_of_the_same_name_is_ones_own(jobs, database):
    tasks = TaskTable(database)
    rows = {}
    for person in (ADA, BOB):
        rows[person] = jobs.add("generate", "{}", person=person).id
        tasks.add("task", rows[person], "10.0.0.7", "{}")
    for person in (ADA, BOB):
        with acting_as(person):
            assert tasks.find("task").job_id == rows[person]
            assert [each.job_id for each in tasks.unended("10.0.0.7")] == [rows[person]]
    with acting_as(ADA):
        assert tasks.find(rows[BOB]) is None
