"""Jobs as rows: which moves are legal, and that a job is taken once."""

import threading
import time
from itertools import product

import pytest

from studio.errors import NotFound, StorageError
from studio.events import LEGAL_MOVES, Status

ROUTES = {
    Status.QUEUED: (),
    Status.RUNNING: (Status.RUNNING,),
    Status.FINISHED: (Status.RUNNING, Status.FINISHED),
    Status.FAILED: (Status.RUNNING, Status.FAILED),
    Status.CANCELLED: (Status.CANCELLED,),
    Status.INTERRUPTED: (Status.RUNNING, Status.INTERRUPTED),
}


def test_a_new_job_waits(jobs):
    before = time.time()
    row = jobs.add("generate", '{"steps": 3}')
    assert (row.kind, row.request, row.status) == ("generate", '{"steps": 3}', Status.QUEUED)
    assert (row.reason, row.runner, row.started_at, row.ended_at) == ("", "", None, None)
    assert before <= row.created_at <= time.time()
    assert jobs.get(row.id) == row
    assert jobs.queued() == [row.id]


def test_a_job_may_start_at_once_under_a_runner(jobs):
    row = jobs.add("generate", "{}", runner="host:1:2")
    assert row.status is Status.RUNNING
    assert row.runner == "host:1:2"
    assert row.started_at is not None
    assert jobs.queued() == []
    assert jobs.claim_next("other") is None


def test_an_unknown_job_is_not_found(jobs):
    with pytest.raises(NotFound, match="'nonsense'"):
        jobs.get("nonsense")
    assert not jobs.move("nonsense", Status.CANCELLED)


def test_the_table_of_legal_moves_is_complete_and_ends():
    assert set(LEGAL_MOVES) == set(Status)
    final = {status for status in Status if status.is_final}
    assert final == {Status.FINISHED, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED}
    assert LEGAL_MOVES[Status.QUEUED] == {Status.RUNNING, Status.CANCELLED}
    assert LEGAL_MOVES[Status.RUNNING] == final | {Status.QUEUED}


@pytest.mark.parametrize(("source", "target"), list(product(Status, Status)))
def test_only_legal_moves_are_made(jobs, source, target):
    row = jobs.add("generate", "{}")
    for status in ROUTES[source]:
        assert jobs.move(row.id, status)
    before = jobs.get(row.id)
    assert before.status is source
    moved = jobs.move(row.id, target, "because")
    after = jobs.get(row.id)
    assert moved is (target in LEGAL_MOVES[source])
    if moved:
        assert (after.status, after.reason) == (target, "because")
        assert (after.ended_at is not None) == target.is_final
    else:
        assert after == before


def test_jobs_are_claimed_in_the_order_they_came(jobs):
    ids = [jobs.add("generate", "{}").id for _ in range(5)]
    jobs.move(ids[1], Status.CANCELLED)
    claimed = []
    while (row := jobs.claim_next("runner")) is not None:
        assert (row.status, row.runner) == (Status.RUNNING, "runner")
        assert row.started_at is not None
        claimed.append(row.id)
    assert claimed == [ids[0], *ids[2:]]
    assert [row.id for row in jobs.running()] == claimed


def test_a_job_that_is_put_back_keeps_its_place(jobs):
    first, second = (jobs.add("generate", "{}").id for _ in range(2))
    assert jobs.claim_next("runner").id == first
    assert jobs.move(first, Status.QUEUED)
    assert jobs.queued() == [first, second]
    assert jobs.claim_next("another").id == first


def test_eight_threads_never_take_the_same_job(jobs):
    ids = [jobs.add("generate", "{}").id for _ in range(40)]
    barrier, taken = threading.Barrier(8), []

    def take(name):
        barrier.wait()
        while (row := jobs.claim_next(name)) is not None:
            assert row.runner == name
            taken.append(row.id)

    threads = [threading.Thread(target=take, args=(f"runner {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_of_many_who_end_a_job_one_succeeds(jobs):
    row = jobs.add("generate", "{}", runner="r")
    barrier, won = threading.Barrier(4), []

    def end(status):
        barrier.wait()
        if jobs.move(row.id, status):
            won.append(status)

    ends = sorted(LEGAL_MOVES[Status.RUNNING] - {Status.QUEUED})
    threads = [threading.Thread(target=end, args=(status,)) for status in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert jobs.get(row.id).status is won[0]


def test_text_of_any_sort_comes_back_unchanged(jobs):
    request = '{"prompt": "Ä 猫 🦊 \' ; DROP TABLE jobs; -- %"}'
    assert jobs.get(jobs.add("generate", request).id).request == request


def test_a_job_that_is_just_taken_has_not_ended(jobs):
    """Also for whoever looks at the moment when it goes from one list to the other."""
    job_id = jobs.add("merge", "{}").id
    taken = threading.Event()

    def take_and_put_back():
        for _ in range(300):
            jobs.claim_next("runner")
            jobs.move(job_id, Status.QUEUED)
        taken.set()

    worker = threading.Thread(target=take_and_put_back)
    worker.start()
    missed = 0
    while not taken.is_set():
        missed += not jobs.unended("merge")
    worker.join()
    assert missed == 0


def test_pages_are_newest_first_and_filtered(jobs):
    ids = [jobs.add(kind, "{}").id for kind in ("a", "b", "a", "b")]
    jobs.move(ids[0], Status.CANCELLED)
    running = jobs.claim_next("me").id
    assert running == ids[1]

    def found(offset=0, limit=10, statuses=(), kind=""):
        page = jobs.page(offset, limit, statuses, kind)
        return [ids.index(row.id) for row in page.rows], page.total

    assert found() == ([3, 2, 1, 0], 4)
    assert found(offset=1, limit=2) == ([2, 1], 4)
    assert found(kind="a") == ([2, 0], 2)
    assert found(statuses=(Status.QUEUED, Status.RUNNING)) == ([3, 2, 1], 3)
    assert found(statuses=(Status.QUEUED,), kind="b") == ([3], 1)
    assert found(statuses=(Status.FAILED,)) == ([], 0)


def test_a_job_is_added_and_taken_without_another_look(jobs, monkeypatch):
    """A look that failed would lose a job that is there, or one that nobody else takes any more."""

    def away(*_):
        raise StorageError("It is away.")

    monkeypatch.setattr(jobs, "get", away)
    added = jobs.add("generate", "{}")
    taken = jobs.claim_next("me")
    assert added.status is Status.QUEUED
    assert (taken.id, taken.status, taken.runner) == (added.id, Status.RUNNING, "me")
    assert taken.started_at is not None
