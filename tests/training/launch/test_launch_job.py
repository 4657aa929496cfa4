"""The job of a run: what it tells, how people end it, and what is refused before it begins."""

import os
import signal
import time

import pytest
from PIL import Image
from train_runs import PROGRAM, followed, only_run, request, wait_until

from studio.errors import AtelierError, ModelError, NotFound, RequestError
from studio.events import (
    Failed,
    Finished,
    Measured,
    Notice,
    Preview,
    Progress,
    Status,
    Stopped,
    Waiting,
)
from studio.models.broker import Holder
from studio.training.launch.process import is_running, processes_of
from studio.training.run_folder import Phase

LONG = 4000


def training(services, *, since: int = 3):
    """The run, once it has done some steps."""
    run = only_run(services.settings.data_dir)
    wait_until(lambda: run.status().phase is Phase.TRAINING and run.status().step >= since)
    return run


def leases(services) -> list[tuple[str, bool, bool]]:
    return [(e.holder.title, e.alone, e.waits) for e in services.engine.broker.leases()]


def test_a_job_tells_all_that_its_run_does(served):
    job = served.queue.submit(request())
    served.trainer.start()
    events = followed(served, job)
    assert isinstance(events[-1], Finished)
    points = [event for event in events if isinstance(event, Measured)]
    assert [event.step for event in points] == list(range(1, 41))
    assert points[1].values == {"loss": 0.5, "learning_rate": 1e-4}
    assert any(isinstance(event, Preview) for event in events)
    steps = [event for event in events if isinstance(event, Progress)]
    assert {event.label for event in steps} <= {"check", "preparing", "training"}
    assert steps[0].label == "check"
    assert steps[-1].steps == 40
    assert steps[-1].seconds_left is not None
    entry = served.runs.get("rex")
    assert (entry.phase, entry.step, entry.title) == (Phase.FINISHED, 40, "rex")
    assert entry.result is not None
    assert leases(served) == []
    with pytest.raises(RequestError, match="is finished"):
        served.queue.submit(request())
    with pytest.raises(RequestError, match="taken by the run rex-"):
        served.queue.submit(request(steps=50))


def test_nobody_else_has_the_device_meanwhile(served):
    number = served.engine.broker.take(Holder("a picture"))
    served.trainer.start()
    job = served.queue.submit(request(steps=LONG))
    told = []
    for event in served.queue.follow(job):
        told.append(event)
        if isinstance(event, Waiting):
            break
    assert told[-1].holder == "a picture"
    run = only_run(served.settings.data_dir)
    assert run.status().phase is Phase.WAITING
    assert not processes_of(run, PROGRAM)
    served.engine.broker.give_back(number)
    training(served)
    assert leases(served) == [("a training", True, False)]
    [lease] = served.engine.broker.leases()
    assert lease.holder.job_id == job
    wait_until(lambda: served.engine.broker.leases()[0].until > time.time())
    served.runs.kill("rex")
    assert followed(served, job)[-1] == Stopped(status="cancelled")
    assert leases(served) == []


@pytest.mark.parametrize("how", ["pause", "cancel"])
def test_one_that_waits_can_be_taken_back(how, served):
    number = served.engine.broker.take(Holder("a picture"))
    served.trainer.start()
    job = served.queue.submit(request(steps=LONG))
    run = only_run(served.settings.data_dir)
    wait_until(lambda: len(leases(served)) == 2)
    if how == "pause":
        served.runs.pause("rex")
    else:
        served.queue.cancel(job)
    assert followed(served, job)[-1] == Stopped(status="cancelled")
    assert run.status().phase is (Phase.PAUSED if how == "pause" else Phase.STOPPED)
    assert leases(served) == [("a picture", False, False)]
    served.engine.broker.give_back(number)


@pytest.mark.parametrize("how", ["pause", "stop", "cancel", "kill"])
def test_what_a_person_ends_can_be_gone_on_with(how, served):
    served.trainer.start()
    wanted = request(steps=LONG)
    job = served.queue.submit(wanted)
    run = training(served)
    with pytest.raises(RequestError, match="stop it before"):
        served.runs.remove("rex")
    with pytest.raises(RequestError, match="cannot be resumed"):
        served.runs.resume("rex")
    if how == "cancel":
        served.queue.cancel(job)
    else:
        getattr(served.runs, how)(run.name)
    assert followed(served, job)[-1] == Stopped(status="cancelled")
    assert run.status().phase is (Phase.PAUSED if how == "pause" else Phase.STOPPED)
    assert not processes_of(run, PROGRAM)
    reached = max((step for step, _ in served.runs.checkpoints("rex")), default=0)

    again = served.runs.resume("rex")
    assert served.queue.request(served.queue.get(again)) == served.runs.request("rex")
    training(served, since=reached + 1)
    served.runs.stop("rex")
    told = [event.text for event in followed(served, again) if isinstance(event, Notice)]
    assert told == ([f"Goes on from step {reached}."] if reached else [])
    steps = [point["step"] for point in served.runs.curve("rex")[0]]
    assert steps == list(range(1, len(steps) + 1)), "no step is there twice"


def test_one_that_hears_of_no_wish_is_killed(served, monkeypatch):
    monkeypatch.setattr("studio.training.launch.job._PATIENCE", 1.0)
    served.trainer.start()
    job = served.queue.submit(request(steps=LONG, trigger="stubborn"))
    run = training(served)
    served.queue.cancel(job)
    assert followed(served, job)[-1] == Stopped(status="cancelled")
    assert not processes_of(run, PROGRAM)


def test_why_it_failed_is_told_in_its_words(served):
    served.trainer.start()
    [*_, last] = followed(served, served.queue.submit(request(trigger="fails")))
    assert isinstance(last, Failed)
    assert last.reason == "The loss is not a number; take a lower learning rate."
    entry = served.runs.get("rex")
    assert (entry.phase, entry.is_dead, entry.reason) == (Phase.FAILED, False, last.reason)


def test_one_that_is_broken_off_is_told_of_and_offered_again(served):
    served.trainer.start()
    job = served.queue.submit(request(steps=LONG))
    run = training(served, since=7)
    os.kill(run.status().pid, signal.SIGKILL)
    start = time.monotonic()
    [*_, last] = followed(served, job)
    assert time.monotonic() - start < 15
    assert isinstance(last, Failed)
    assert "goes on from its last checkpoint" in last.reason
    entry = served.runs.get("rex")
    assert (entry.phase, entry.is_dead, entry.is_alive) == (Phase.FAILED, True, False)
    assert "broken off at step" in entry.reason
    assert entry.can_resume
    assert leases(served) == []
    again = served.runs.resume("rex")
    wait_until(lambda: is_running(run))
    training(served, since=8)
    served.runs.stop("rex")
    told = [event.text for event in followed(served, again) if isinstance(event, Notice)]
    assert told[0].startswith("Goes on from step ")


def test_the_last_words_of_one_that_ends_without_a_word(served):
    served.trainer.start()
    [*_, last] = followed(served, served.queue.submit(request(trigger="mute")))
    assert isinstance(last, Failed)
    assert "ends with 'Something broke.'" in last.reason


def test_one_that_the_system_ends_is_told_of(served, monkeypatch):
    monkeypatch.setattr("studio.training.launch.job._SYSTEM_SECONDS", 1.0)
    served.trainer.start()
    job = served.queue.submit(request(steps=LONG))
    run = training(served)
    os.kill(run.status().pid, signal.SIGTERM)
    [*_, last] = followed(served, job)
    assert isinstance(last, Failed)
    assert "by the system" in last.reason
    assert served.runs.get("rex").can_resume


def test_two_runs_of_one_name(served):
    """The same request is the same run; another one must take another name."""
    served.trainer.start()
    first = served.queue.submit(request(steps=LONG))
    run = training(served)
    with pytest.raises(RequestError, match="has other settings"):
        served.queue.submit(request(steps=LONG, rank=8))
    with pytest.raises(RequestError, match="has other settings"):
        served.queue.submit(request(steps=LONG, name="REX"))
    served.runs.stop("rex")
    followed(served, first)
    second = served.queue.submit(request(steps=LONG, owner="somebody else"))
    training(served, since=run.status().step + 1)
    assert only_run(served.settings.data_dir).path == run.path
    served.runs.stop("rex")
    followed(served, second)
    served.runs.remove("rex")
    assert not run.path.exists()
    served.queue.cancel(served.queue.submit(request(rank=8)))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "nowhere"}, ModelError, "'nowhere' is not installed"),
        ({"pictures": "nowhere"}, NotFound, "no picture set 'nowhere'"),
        ({"pictures": "empty"}, AtelierError, "no pictures in 'empty'"),
        ({"name": "taken"}, RequestError, "taken by a LoRA"),
        ({"name": "a word"}, RequestError, "is in the way"),
        ({"accelerate": "cluster"}, RequestError, "there are: none"),
    ],
)
def test_what_cannot_be_done_is_refused(changes, error, words, served, make_lora):
    data = served.settings.data_dir
    (data / "pictures" / "empty").mkdir()
    make_lora(data / "models" / "loras" / "taken.safetensors")
    (data / "models" / "loras" / "a word.safetensors").mkdir()
    with pytest.raises(error, match=words) as told:
        served.queue.submit(request(**changes))
    assert str(told.value).count(". ") == 0
    assert served.queue.line().waiting == 0


def test_the_embedded_models_name_is_taken(served, embedded_id):
    with pytest.raises(RequestError, match="taken by a model"):
        served.queue.submit(request(name=embedded_id))


def test_a_configuration_of_accelerate_is_looked_at_first(served):
    place = served.settings.data_dir / "accelerate"
    place.mkdir()
    for name, text, words in (
        ("odd", "- 1\n", "no configuration"),
        ("broken", "a: [", "cannot be read"),
        ("deep", "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\n", "DeepSpeed"),
    ):
        (place / f"{name}.yaml").write_text(text)
        with pytest.raises(RequestError, match=words):
            served.queue.submit(request(accelerate=name))


def test_a_full_disk_is_refused(served, monkeypatch):
    import shutil

    full = shutil.disk_usage(served.settings.data_dir)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(ModelError, match="free some space"):
        served.queue.submit(request())


def test_jobs_of_other_kinds_are_not_in_the_list(served):
    (served.settings.data_dir / "runs" / "reader-1").mkdir(parents=True)
    (served.settings.data_dir / "runs" / "reader-1" / "options.json").write_text("{}")
    assert served.runs.entries() == []
    assert served.queue.get(served.queue.submit(request())).status is Status.QUEUED


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("dot.png", Image.new("RGB", (1, 1)), "dot.png"),
        ("torn.png", b"\x89PNG\r\n\x1a\n and nothing", "torn.png"),
    ],
)
def test_pictures_that_nothing_can_be_learnt_from_are_refused(name, content, words, served):
    """Before the device is waited for, and before there is a process."""
    place = served.settings.data_dir / "pictures" / "dogs" / name
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        content.save(place)
    served.trainer.start()
    with served.engine.broker.lease(Holder("somebody"), alone=True):
        events = followed(served, served.queue.submit(request()))
    assert isinstance(events[-1], Failed)
    assert words in events[-1].reason
    assert any(isinstance(event, Progress) and event.label == "check" for event in events)
    assert not any(isinstance(event, Waiting) for event in events)
    assert not list((served.settings.data_dir / "runs").glob("*/status.json"))
