"""Jobs whose server or device died in the middle of them: begun again once, then failed."""

from sample_pictures import picture

from studio.errors import DeviceLost
from studio.events import Finished, Notice, Status


def test_what_a_server_that_was_killed_was_doing_is_done_again_once(desk):
    desk.errands["good"] = lambda context: None
    once, twice = desk.submit("good"), desk.submit("good")
    for job_id in (once, twice):
        assert desk.jobs.claim_next("another-host:1:1").id == job_id
    desk.jobs.lose(twice)
    desk.worker.start()
    assert desk.wait(once) is Status.FINISHED
    assert desk.wait(twice) is Status.FAILED
    assert "The server was killed in the middle of the job" in desk.queue.get(twice).reason
    assert [desk.queue.get(each).losses for each in (once, twice)] == [1, 2]


def test_a_job_whose_device_dies_is_begun_again_once_and_told_so(desk):
    deaths = [DeviceLost("The device is gone.")]

    def dies(context):
        context.save(picture())
        if deaths:
            raise deaths.pop()

    desk.errands["dies"] = dies
    desk.worker.start()
    job_id = desk.submit("dies")
    told = list(desk.queue.follow(job_id))
    assert Notice(text="The device is gone. The job is begun again.") in told
    assert isinstance(told[-1], Finished)
    assert told[-1].outputs == (1,), "what it had saved is not made a second time"
    assert desk.queue.get(job_id).losses == 1
    assert desk.broker.leases() == []


def test_a_job_whose_device_dies_twice_fails_with_the_reason(desk):
    def dies(context):
        raise DeviceLost("The device is gone.")

    desk.errands["dies"] = dies
    desk.worker.start()
    job_id = desk.submit("dies")
    assert desk.wait(job_id) is Status.FAILED
    reason = desk.queue.get(job_id).reason
    assert reason == "The device is gone. The job had been begun again once already."


def test_a_death_for_which_another_job_is_to_blame_does_not_count(desk):
    deaths = [DeviceLost("The device is gone.", to_blame=False) for _ in range(3)]

    def dies(context):
        if deaths:
            raise deaths.pop()

    desk.errands["dies"] = dies
    desk.worker.start()
    job_id = desk.submit("dies")
    assert desk.wait(job_id) is Status.FINISHED
    assert desk.queue.get(job_id).losses == 0


def test_what_was_taken_back_is_not_begun_again(desk):
    def dies(context):
        desk.queue.cancel(context.job_id)
        raise DeviceLost("The device is gone.")

    desk.errands["dies"] = dies
    desk.worker.start()
    assert desk.wait(desk.submit("dies")) is Status.CANCELLED
