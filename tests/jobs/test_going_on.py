"""Work that goes on from where it was: what a server leaves, the next one takes up."""

import socket
import threading
import time

from studio.events import Status

WAIT = 10.0


def test_work_that_goes_on_waits_for_the_next_server(desk, tmp_path, open_again):
    started = threading.Event()

    def endless(context):
        started.set()
        while True:
            context.check()
            time.sleep(0.002)

    desk.errands["endless"] = endless
    job_id = desk.submit("endless", "resuming")
    desk.worker.start()
    assert started.wait(WAIT)
    desk.worker.stop(WAIT)
    row = desk.queue.get(job_id)
    assert (row.status, row.ended_at) == (Status.QUEUED, None)

    again = open_again(tmp_path)
    again.errands["endless"] = lambda context: context.check()
    again.worker.start()
    assert again.wait(job_id) is Status.FINISHED
    again.worker.stop(WAIT)
    again.database.close()


def test_a_person_can_cancel_work_that_goes_on(desk):
    started = threading.Event()

    def endless(context):
        started.set()
        while True:
            context.check()
            time.sleep(0.002)

    desk.errands["endless"] = endless
    desk.worker.start()
    job_id = desk.submit("endless", "resuming")
    assert started.wait(WAIT)
    desk.queue.cancel(job_id)
    assert desk.wait(job_id) is Status.CANCELLED


def test_what_a_person_has_cancelled_does_not_come_again_with_the_next_server(desk):
    started, go_on = threading.Event(), threading.Event()

    def slow_to_stop(context):
        started.set()
        go_on.wait(WAIT)  # as a training that writes its last checkpoint
        context.check()

    desk.errands["slow"] = slow_to_stop
    desk.worker.start()
    job_id = desk.submit("slow", "resuming")
    assert started.wait(WAIT)
    desk.queue.cancel(job_id)
    stopping = threading.Thread(target=desk.worker.stop, args=(WAIT,))
    stopping.start()
    while not desk.worker._closing.is_set():
        time.sleep(0.002)
    go_on.set()
    stopping.join()
    assert desk.queue.get(job_id).status is Status.CANCELLED


def test_work_of_the_dead_that_goes_on_does_so(desk):
    job_id = desk.submit("again", "resuming")
    assert desk.jobs.claim_next(f"{socket.gethostname()}:999999999:1").id == job_id
    desk.errands["again"] = lambda context: None
    desk.worker.start()
    assert desk.wait(job_id) is Status.FINISHED
