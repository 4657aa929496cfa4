"""The stage: what each event does to the view, and following the jobs of one page."""

import base64
import threading
from itertools import islice
from typing import get_args

import pytest
from sample_pictures import picture

from studio.errors import RequestError
from studio.events import (
    Event,
    Failed,
    Finished,
    Loading,
    Measured,
    Notice,
    Preview,
    Progress,
    Queued,
    Saved,
    Status,
    Stopped,
    Waiting,
)
from studio.jobs.queue import JobQueue, Kind
from studio.jobs.worker import Runner
from studio.requests import GenerationRequest
from studio.services import Services
from studio.store.jobs import JobTable
from tabs.blocks.stage import PageJobs, View, duration, fold, follow

EVENTS: list[tuple[Event, dict[str, object]]] = [
    (Queued(position=1), {"status": "queued", "text": "Next in line"}),
    (Queued(position=4), {"status": "queued", "text": "4th in line"}),
    (
        Queued(position=3, seconds=131),
        {"text": "3rd in line", "left": "begins in about 2 min"},
    ),
    (Queued(position=12, seconds=8.4), {"text": "12th in line", "left": "begins in about 8 s"}),
    (
        Queued(position=22, seconds=4100),
        {"text": "22nd in line", "left": "begins in about 1 h 10 min"},
    ),
    (
        Waiting(holder="a training", seconds_left=125.0),
        {
            "status": "queued",
            "text": "Waiting for the device, which a training has",
            "left": "free in 2 min 5 s",
        },
    ),
    (Waiting(holder="a training"), {"status": "queued", "left": ""}),
    (Loading(model="Emoji"), {"status": "loading", "text": "Loading Emoji …"}),
    (
        Progress(step=5, steps=20, item=1, items=1, seconds_left=7.6),
        {"status": "running", "text": "Step 5 of 20", "left": "8 s left", "fraction": 0.25},
    ),
    (
        Progress(step=10, steps=20, item=2, items=2),
        {"text": "Step 10 of 20 · batch 2 of 2", "left": "", "fraction": 0.75},
    ),
    (
        Progress(step=1, steps=2, item=1, items=3, label="picture"),
        {"text": "Step 1 of 2 · picture 1 of 3"},
    ),
    # Curves are drawn where readers are trained.
    (Measured(step=3, values={"loss": 1.5}), {"left": "9 s left", "preview": "data:old"}),
    (
        Preview(image=b"webp", step=2),
        {"preview": "data:image/webp;base64," + base64.b64encode(b"webp").decode()},
    ),
    (Saved(output_id=9), {"items": (9, 2, 1), "preview": ""}),
    (Saved(output_id=2), {"items": (2, 1)}),
    (Measured(step=3, values={"loss": 0.5}), {"left": "9 s left", "active": True}),
    (Notice(text="Cut short."), {"message": "Cut short.", "tone": "note"}),
    (Finished(outputs=(1, 2, 3)), {"status": "finished", "active": False, "items": (3, 2, 1)}),
    (
        Failed(reason="It is broken.", outputs=(3, 4)),
        {"status": "failed", "message": "It is broken.", "tone": "", "items": (4, 3, 2, 1)},
    ),
    (Stopped(status="cancelled"), {"status": "cancelled", "message": "Cancelled.", "tone": "note"}),
    (
        Stopped(status="cancelled", outputs=(1,)),
        {"message": "Cancelled. 1 finished picture kept.", "active": False},
    ),
    (
        Stopped(status="interrupted", outputs=(1, 2)),
        {
            "status": "interrupted",
            "message": "The server was stopped in mid-job. 2 finished pictures kept.",
        },
    ),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS)
def test_what_an_event_does_to_the_view(event, expected):
    view = View(job="a", active=True, preview="data:old", left="9 s left", items=(2, 1))
    after = fold(view, event).as_value()
    assert {key: after[key] for key in expected} == expected
    assert after["job"] == "a"


def test_no_event_type_is_left_out():
    union = get_args(get_args(Event)[0])
    assert {type(event) for event, _ in EVENTS} == set(union)


def test_a_notice_stays_to_the_end_of_the_job():
    view = fold(fold(View(), Notice(text="Cut short.")), Finished())
    assert (view.message, view.tone) == ("Cut short.", "note")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (8.2, "8 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (4260, "1 h 11 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


# Following: a real queue whose work saves small pictures without a model


class Studio:
    """A queue and a runner over the services' own tables."""

    def __init__(self, services: Services):
        self.outputs = services.outputs
        self.jobs = JobTable(services.database)
        kinds = {"generate": Kind(GenerationRequest, lambda request: request, self._work)}
        self.queue = JobQueue(self.jobs, services.outputs, kinds, 100)
        self._runner = Runner(self.queue, services.engine.models, services.outputs)

    def submit(self, count: int = 1, prompt: str = "") -> str:
        return self.queue.submit(GenerationRequest(batch_count=count, prompt=prompt))

    def run_next(self) -> Status:
        return self._runner.run(self.jobs.claim_next("test"))

    def done(self, count: int = 1, prompt: str = "") -> str:
        job_id = self.submit(count, prompt)
        self.run_next()
        return job_id

    def _work(self, request, context) -> None:
        if request.prompt == "fail":
            raise RequestError("It is broken.")
        for number in range(1, request.batch_count + 1):
            context.emit(Progress(step=1, steps=1, item=number, items=request.batch_count))
            context.save(picture())


@pytest.fixture
def studio(services: Services) -> Studio:
    return Studio(services)


def shown(studio: Studio, *ids: str) -> list[View]:
    return list(follow(studio.queue, PageJobs(list(ids))))


def test_a_page_without_jobs_shows_an_empty_stage_once(studio):
    assert shown(studio) == [View()]


def test_a_job_is_followed_from_waiting_to_its_end(studio):
    page = PageJobs([studio.submit(count=2)])
    views = follow(studio.queue, page)
    first = next(views)
    assert (first.status, first.active, first.job) == ("queued", True, page.ids[0])
    assert page.current == page.ids[0]
    threading.Thread(target=studio.run_next).start()
    *_, last = views
    assert (last.status, last.active, last.items) == ("finished", False, (2, 1))


def test_after_a_reload_the_last_job_and_all_pictures_are_shown(studio):
    ids = [studio.done(count=2), studio.done(prompt="fail"), studio.done()]
    [view] = shown(studio, *ids)
    assert (view.job, view.status, view.active) == (ids[-1], "finished", False)
    assert view.items == (3, 2, 1)


def test_after_a_reload_the_reason_of_a_failure_is_still_there(studio):
    [view] = shown(studio, studio.done(), studio.done(prompt="fail"))
    assert (view.status, view.message, view.items) == ("failed", "It is broken.", (1,))


def test_a_job_that_was_added_meanwhile_is_followed_too(studio):
    page = PageJobs([studio.submit()])
    finished = []
    for view in follow(studio.queue, page):
        if studio.jobs.queued():
            studio.run_next()
        if view.status == "finished":
            finished.append(view.job)
            if len(page.ids) < 3:
                page.ids.append(studio.submit())
    assert finished == page.ids
    assert page.current == page.ids[-1]


def test_a_list_that_is_cut_at_its_old_end_loses_no_new_job(studio):
    page = PageJobs([studio.done(), studio.submit()])
    views = follow(studio.queue, page)
    next(views)
    page.ids.append(studio.submit())
    del page.ids[0]
    studio.run_next()
    studio.run_next()
    *_, last = views
    assert (last.job, last.items) == (page.ids[-1], (3, 2))


def test_pictures_of_a_job_that_ended_while_another_was_shown_are_there(studio):
    page = PageJobs([studio.submit()])
    views = follow(studio.queue, page)
    next(views)
    studio.run_next()
    page.ids += [studio.done(), studio.done()]
    *_, last = views
    assert last.items == (3, 2, 1)


def test_jobs_that_are_gone_are_passed_over(studio):
    job_id = studio.done()
    [view] = shown(studio, "0" * 32, job_id)
    assert (view.job, view.items) == (job_id, (1,))


def test_pictures_are_shown_even_if_the_last_job_is_gone(studio):
    [view] = shown(studio, studio.done(), "no such job")
    assert (view.items, view.active, view.message) == ((1,), False, "")


def test_a_page_whose_jobs_are_all_gone_shows_an_empty_stage(studio):
    assert shown(studio, "gone", "'; DROP TABLE jobs; --") == [View()]


def test_a_job_that_waits_gives_the_page_a_sign_of_life(studio):
    """Else the thread of a page that was closed would wait on until the job's turn comes."""
    page = PageJobs([studio.submit()])
    first, *others = islice(follow(studio.queue, page, heartbeat=0.01), 4)
    assert others == [first] * 3


def test_of_very_many_pictures_the_newest_are_shown(studio):
    [view] = shown(studio, studio.done(count=50), studio.done(count=20))
    assert view.items == tuple(range(70, 10, -1))
