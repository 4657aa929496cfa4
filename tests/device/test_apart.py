"""What a device's process does for the server: jobs that can be stopped, loans, questions."""

import sys
import time

import psutil
import pytest
from PIL import Image
from tiny_captioners import tiny_blip
from tiny_readers import TEXT, make_reader
from train_runs import ended, followed, only_run, opened, request

from studio.errors import ModelError, RequestError
from studio.events import Finished, Loading, Preview, Progress, Saved, Status, Stopped
from studio.model_requests import MergeRequest
from studio.models.broker import Holder
from studio.reader.documents import pasted
from studio.reader_requests import AskRequest
from studio.training.task import read_task

pytestmark = pytest.mark.slow


def test_a_job_tells_what_it_tells_inside_and_makes_the_same_pictures(apart, services):
    fields = {"steps": 4, "batch_count": 2, "preview_every": 2}
    job = apart.submit(**fields)
    told, final = apart.end(job)
    assert isinstance(final, Finished)
    assert [event.model for event in told if isinstance(event, Loading)] == [
        apart.services.catalogue.get("").title
    ]
    assert Progress in {type(event) for event in told}
    assert Preview in {type(event) for event in told}
    assert [event.output_id for event in told if isinstance(event, Saved)] == list(final.outputs)
    inside = services.run_now(apart.services.queue.request(apart.services.queue.get(job)))
    here = [
        Image.open(services.outputs.path(each)).convert("RGB").tobytes()
        for each in services.queue.outputs(inside)
    ]
    assert apart.pixels(job) == here


def test_a_job_is_cancelled_within_a_step(apart):
    job = apart.submit(batch_count=100, steps=20)
    events = apart.follow(job)
    next(event for event in events if isinstance(event, Saved))
    apart.services.queue.cancel(job)
    final = list(events)[-1]
    assert isinstance(final, Stopped)
    assert final.status == "cancelled"
    assert 1 <= len(final.outputs) <= 3
    assert not any(held.in_use for held in apart.services.engine.models.held())


def test_a_picture_is_skipped(apart):
    job = apart.submit(batch_count=3, steps=60)
    skipped = False
    for event in apart.follow(job):
        if isinstance(event, Progress) and event.item == 1 and not skipped:
            apart.services.queue.skip(job)
            skipped = True
    assert isinstance(event, Finished)
    assert len(event.outputs) == 2


def test_a_job_that_cannot_be_done_fails_with_the_same_words(apart):
    engine = apart.services.engine
    job = apart.submit()
    row = apart.services.queue.get(job)
    apart.end(job)
    wrong = apart.services.queue.request(row).model_copy(update={"model": "nothing"})

    class Context:
        job_id = job

        def emit(self, event):
            raise AssertionError(event)

        def check(self):
            return None

    with pytest.raises(ModelError, match="nothing"):
        engine.generate(wrong, Context())


def test_models_are_loaded_and_unloaded_for_the_library(apart, embedded_id):
    library, engine = apart.services.library, apart.services.engine
    engine.empty()
    assert engine.models.held() == []
    library.load(embedded_id)
    assert [held.id for held in engine.models.held()] == [embedded_id]
    library.unload("diffusion", embedded_id)
    assert engine.models.held() == []
    library.load(embedded_id)
    assert apart.services.in_memory.drop_idle(0) == [apart.services.catalogue.get("").title]


def test_one_who_wants_the_device_alone_gets_it_empty_and_gives_it_back(apart):
    apart.end(apart.submit())
    engine = apart.services.engine
    assert engine.models.held()
    with engine.broker.lease(Holder("a training"), alone=True):
        assert engine.models.held() == []
        job = apart.submit()
        events = apart.follow(job)
        waiting = next(event for event in events if event.type == "waiting")
        assert waiting.holder == "a training"
    assert isinstance(list(events)[-1], Finished)


def test_questions_are_answered_while_a_picture_is_made(apart):
    folder = apart.services.settings.data_dir / "models" / "readers"
    folder.mkdir(parents=True, exist_ok=True)
    make_reader(folder / "tiny")
    document, asked = pasted(TEXT), AskRequest(question="When was the bridge built?")
    job = apart.submit(batch_count=100, steps=20)
    events = apart.follow(job)
    next(event for event in events if isinstance(event, Progress))
    found = apart.services.answering.ask(document, asked)
    assert found.passages[0] == 1
    for each in found.answers:
        assert TEXT[each.start : each.end] == each.text
    assert not apart.services.queue.get(job).status.is_final
    apart.services.queue.cancel(job)
    list(events)
    again = apart.services.answering.ask(document, asked)
    assert again.answers == found.answers
    with pytest.raises(RequestError, match="this reader takes at most"):
        apart.services.answering.ask(document, AskRequest(question="what " * 390))


def test_a_captioner_says_what_a_picture_shows(apart):
    folder = apart.services.settings.data_dir / "models" / "captioners" / "tiny"
    folder.parent.mkdir(parents=True, exist_ok=True)
    tiny_blip(folder)
    name = apart.services.captioners.usable("").name
    words = apart.services.engine.caption(name, Image.new("RGB", (40, 40), "red"))
    assert words
    assert words == apart.services.engine.caption(name, Image.new("RGB", (40, 40), "red"))


def test_models_are_made_there(apart, embedded_id):
    request = MergeRequest(model_a=embedded_id, model_b=embedded_id, name="twice")
    job = apart.services.queue.submit(request)
    told, final = apart.end(job)
    assert isinstance(final, Finished), final
    assert any(isinstance(event, Progress) for event in told)
    assert "twice" in {entry.title for entry in apart.services.catalogue.entries()}


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_training_has_its_class_pictures_made_there_and_then_the_device(tmp_path):
    data = tmp_path / "data"
    pictures = data / "pictures" / "dogs"
    pictures.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (96, 96), (80 * number, 40, 90)).save(pictures / f"{number}.png")
    served = opened(data, apart=True)
    served.start()
    asked = {"preservation": True, "class_prompt": "a photo of a dog", "class_pictures": 2}
    try:
        job = served.queue.submit(request(**asked, resolution=64, method="dreambooth"))
        events = followed(served, job)
        assert isinstance(events[-1], Finished), events[-1]
        assert events[-1].outputs == (), "they are nobody's pictures"
        folder = read_task(only_run(data).path).class_pictures
        assert sorted(each.name for each in folder.glob("*.png")) == ["0000.png", "0001.png"]
        assert any(isinstance(e, Progress) and e.label == "class pictures" for e in events)
        assert served.engine.models.held() == [], "the model has left for the run"
        assert served.engine.broker.leases() == []
    finally:
        served.stop()
        ended(data)


def test_the_process_ends_with_its_services(open_apart):
    before = psutil.Process().children()
    here = open_apart()
    job = here.submit(batch_count=100, steps=30)
    next(event for event in here.follow(job) if isinstance(event, Saved))
    (process,) = [each for each in here.processes() if each not in before]
    start = time.monotonic()
    here.services.stop()
    assert time.monotonic() - start < 8
    assert not process.is_running()
    row = here.services.queue.get(job)
    assert (row.status, row.losses) == (Status.QUEUED, 0), "it waits for the next server"
