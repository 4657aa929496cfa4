"""Jobs by the names that programs gave them, and by who asked for them."""

import pytest

from studio.events import Status
from studio.store.tasks import TaskTable


@pytest.fixture
def tasks(database) -> TaskTable:
    return TaskTable(database)


def test_a_task_is_found_by_its_name_and_by_its_job(tasks, jobs):
    job = jobs.add("generate", "{}").id
    tasks.add("task(1)", job, "10.0.0.1", '{"steps": 3}')
    found = tasks.find("task(1)")
    assert found == tasks.find(job)
    assert (found.id, found.job_id, found.caller) == ("task(1)", job, "10.0.0.1")
    assert found.parameters == '{"steps": 3}'
    assert tasks.find("task(2)") is None


def test_a_name_used_again_is_that_of_the_newest(tasks, jobs):
    for _ in range(2):
        newest = jobs.add("generate", "{}").id
        tasks.add("again", newest, "10.0.0.1", "{}")
    assert tasks.find("again").job_id == newest


def test_no_name_names_nothing(tasks, jobs):
    tasks.add("", jobs.add("generate", "{}").id, "10.0.0.1", "{}")
    assert tasks.find("") is None


def test_a_callers_own_tasks_run_first_and_then_wait(tasks, jobs):
    ids = [jobs.add("generate", "{}").id for _ in range(4)]
    for number, job in enumerate(ids):
        tasks.add(f"task {number}", job, "10.0.0.2" if number == 1 else "10.0.0.1", "{}")
    assert jobs.move(ids[0], Status.CANCELLED)
    assert jobs.move(ids[3], Status.RUNNING)
    assert [each.job_id for each in tasks.unended("10.0.0.1")] == [ids[3], ids[2]]
    assert [each.job_id for each in tasks.unended("10.0.0.2")] == [ids[1]]
    assert tasks.unended("10.0.0.3") == []
