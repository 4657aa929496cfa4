"""A job's events over HTTP: in order, resumed where they broke off, and without a thread each."""

import asyncio
import json
import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from studio.api.v1 import events, routes
from studio.events import EVENT, FINAL, Finished, Notice, Preview, Progress, Saved, Status
from studio.jobs.queue import LAST
from studio.requests import GenerationRequest
from studio.store.jobs import JobTable

SMALL = GenerationRequest(prompt="a red apple", steps=2, width=64, height=64, preview_every=1)


def parsed(text):
    """Each event's id, name and event."""
    found = []
    for block in filter(None, text.split("\n\n")):
        if not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((fields["id"], fields["event"], EVENT.validate_json(fields["data"])))
    return found


def follow(client, job, last=None):
    headers = {"Last-Event-ID": last} if last else {}
    answer = client.get(f"jobs/{job}/events", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    return parsed(answer.text)


@pytest.fixture
def waiting(services):
    """A job that nobody takes."""
    return services.queue.submit(SMALL)


def another_client(services):
    app = FastAPI()
    app.include_router(routes.build_router(services))
    return TestClient(app, base_url="http://testserver/api/v1/")


def test_a_stream_tells_all_from_start_to_end(v1_client):
    job = v1_client.post("jobs", json=SMALL.model_dump(mode="json")).json()["id"]
    told = follow(v1_client, job)
    assert [name for _, name, _ in told] == [event.type for _, _, event in told]
    kinds = [type(event) for _, _, event in told]
    assert {Progress, Preview, Saved} <= set(kinds)
    assert kinds[-1] is Finished
    assert not any(issubclass(kind, FINAL) for kind in kinds[:-1])
    numbers = [int(number.rpartition("-")[2]) for number, _, _ in told]
    assert numbers == sorted(set(numbers))
    preview = next(event for _, _, event in told if isinstance(event, Preview))
    assert preview.image[8:12] == b"WEBP"


def test_who_comes_again_hears_what_was_missed_and_then_nothing(services):
    job = services.run_now(SMALL)
    with another_client(services) as client:
        told = follow(client, job)
        assert len(told) > 1
        for place, (number, _, _) in enumerate(told[:-1]):
            assert follow(client, job, number) == told[place + 1 :]
        after = client.get(f"jobs/{job}/events", headers={"Last-Event-ID": told[-1][0]})
        assert (after.status_code, after.content) == (204, b"")
        for strange in ("x", "-", "1", "00000000-3", f"{told[0][0]}x", told[0][0] * 9, "-1"):
            assert follow(client, job, strange) == told
    with another_client(services) as restarted:
        assert [each[1:] for each in follow(restarted, job, told[-1][0])] == [e[1:] for e in told]


def test_of_a_job_that_another_process_ended_the_end_is_told(services, waiting):
    table = JobTable(services.database)
    table.claim_next("another")
    table.move(waiting, Status.FINISHED)
    with another_client(services) as client:
        [(number, name, _)] = follow(client, waiting)
        assert (number.rpartition("-")[2], name) == (str(LAST), "finished")
        headers = {"Last-Event-ID": number}
        assert client.get(f"jobs/{waiting}/events", headers=headers).status_code == 204


def test_what_was_told_before_an_end_that_is_not_told_yet_is_not_lost(services, waiting):
    channel = services.queue.live(waiting)[0]
    channel.emit(Notice(text="so far"))
    table = JobTable(services.database)
    table.move(waiting, Status.CANCELLED)
    told = services.queue.told(waiting)
    assert [event.type for _, event in told] == ["notice", "stopped"]
    assert services.queue.told(waiting, told[0][0]) == told[1:]
    assert services.queue.told(waiting, LAST) == []
    channel.emit(told[-1][1])
    numbers = [number for number, _ in services.queue.told(waiting)]
    assert LAST not in numbers
    assert services.queue.told(waiting, numbers[-1]) == services.queue.told(waiting, LAST) == []


def test_many_listeners_hold_no_thread(services, waiting):
    """More of them than the server has threads for its work."""

    async def listen():
        streams = [events._follow(services.queue, waiting, "era", 0) for _ in range(200)]
        pieces = [[] for _ in streams]
        hearers = [asyncio.create_task(hear(*each)) for each in zip(streams, pieces, strict=True)]
        async with asyncio.timeout(60):
            while not all(pieces):  # of what is stale by then, who comes later is not told
                await asyncio.sleep(0.02)
        threads = threading.active_count()
        services.queue.live(waiting)[0].emit(Notice(text="so far"))
        await asyncio.to_thread(services.queue.cancel, waiting)
        await asyncio.gather(*hearers)
        return threads, pieces

    async def hear(stream, pieces):
        async for piece in stream:
            pieces.append(piece)

    before = threading.active_count()
    threads, all_heard = asyncio.run(listen())
    # What looks at the job's row at the beginning are the server's own workers, forty at most.
    assert threads - before <= 41
    for pieces in all_heard:
        told = parsed(b"".join(pieces).decode())
        assert [name for _, name, _ in told] == ["queued", "notice", "stopped"]


def test_silence_is_broken_by_comments_and_the_end_of_another_process_is_seen(
    services, waiting, monkeypatch
):
    monkeypatch.setattr(events, "_HEARTBEAT", 0.05)

    async def listen():
        pieces = []
        async for piece in events._follow(services.queue, waiting, "era", 0):
            pieces.append(piece)
            if pieces.count(b": nothing new\n\n") == 2:
                table = JobTable(services.database)
                table.claim_next("another")
                table.move(waiting, Status.FAILED, "The disk is full.")
        return pieces

    pieces = asyncio.run(listen())
    assert pieces[1:3] == [b": nothing new\n\n"] * 2
    [(_, name, event)] = parsed(pieces[-1].decode())
    assert (name, event.reason) == ("failed", "The disk is full.")


def test_who_goes_away_is_told_nothing_more(services, waiting):
    channel = services.queue.live(waiting)[0]

    async def leave():
        stream = events._follow(services.queue, waiting, "era", 0)
        await anext(stream)
        assert len(channel._attached) == 1
        await stream.aclose()

    asyncio.run(leave())
    assert channel._attached == []


def test_the_description_says_what_the_data_hold(v1_client):
    told = v1_client.get("openapi.json").json()
    path = told["paths"]["/api/v1/jobs/{job_id}/events"]["get"]
    item = path["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]
    name = item["properties"]["data"]["contentSchema"]["$ref"].rpartition("/")[2]
    schema = told["components"]["schemas"][name]
    assert set(schema["discriminator"]["mapping"]) >= {"progress", "saved", "finished", "failed"}
    assert json.dumps(schema).count("#/components/schemas/") >= 11
