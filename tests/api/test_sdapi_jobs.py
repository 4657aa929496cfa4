"""What is asked by AUTOMATIC1111's API are ordinary jobs, and each caller's own."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from browser.live_server import LiveServer
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw
from sdapi_calls import SMALL, get, packed, picture, post, refused

from studio.api.sdapi import door
from studio.api.sdapi.desk import Desk
from studio.events import Status
from studio.requests import GenerationRequest
from studio.services import build_services

LONG = {**SMALL, "steps": 20, "n_iter": 100}


@pytest.fixture
def client(sdapi_client: TestClient) -> TestClient:
    return sdapi_client


def test_a_picture_is_the_one_that_the_studio_makes(client, services):
    made = post(client, "txt2img", **SMALL, sampler_name="Euler")
    fields = {**SMALL, "sampler": "Euler", "cfg_scale": 7.0, "preview_every": 0}
    [own] = services.queue.outputs(services.run_now(GenerationRequest(**fields)))
    with Image.open(services.outputs.path(own)) as image:
        assert np.asarray(picture(made["images"][0])).tobytes() == np.asarray(image).tobytes()
    info = json.loads(made["info"])
    [kept] = services.outputs.page(1, 10).rows
    assert info["infotexts"] == [kept.infotext]
    assert picture(made["images"][0]).info["parameters"] == kept.infotext
    assert (info["seed"], info["steps"], info["width"]) == (5, 2, 64)
    assert made["parameters"]["sampler_index"] == "Euler"
    assert made["parameters"]["n_iter"] == 1


def test_seeds_of_batches_and_of_variations(client):
    plain = json.loads(post(client, "txt2img", **SMALL, batch_size=2, n_iter=2)["info"])
    assert plain["all_seeds"] == [5, 6, 7, 8]
    varied = post(client, "txt2img", **SMALL, n_iter=2, subseed=9, subseed_strength=0.5)
    told = json.loads(varied["info"])
    assert (told["all_seeds"], told["all_subseeds"]) == ([5, 5], [9, 10])
    assert len(varied["images"]) == 2


def test_pictures_need_not_be_sent(client, services):
    made = post(client, "txt2img", **SMALL, send_images=False)
    assert made["images"] == []
    assert services.outputs.page(0, 10).total == 1


def test_many_pictures_are_sent_piece_by_piece(client, monkeypatch):
    body = {**SMALL, "n_iter": 3}
    at_once = post(client, "txt2img", **body, force_task_id="three")
    assert len(at_once["images"]) == 3
    monkeypatch.setattr(door, "_AT_ONCE", 1000)
    answer = client.post("/sdapi/v1/txt2img", json=body)
    assert "content-length" not in answer.headers
    assert answer.json()["images"] == at_once["images"]
    assert get(client, "jobs/three")["result"]["images"] == at_once["images"]


def test_a_mask_says_what_stays(client):
    source = Image.new("RGB", (64, 64), "green")
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((0, 0, 31, 63), fill=255)
    body = {**SMALL, "init_images": [packed(source)], "mask": packed(mask), "mask_blur": 0}
    body |= {"inpainting_fill": 1, "inpaint_full_res": False, "include_init_images": True}
    left = post(client, "img2img", **body)
    right = post(client, "img2img", **body, inpainting_mask_invert=1)
    assert left["parameters"]["mask"] == body["mask"]
    before = np.asarray(source)
    for made, stays in ((left, np.s_[:, 32:]), (right, np.s_[:, :32])):
        after = np.asarray(picture(made["images"][0]))
        assert (after[stays] == before[stays]).all()
        assert (after != before).any()


def test_a_result_waits_for_who_went_away(live_server):
    place = urlsplit(live_server.url)
    body = json.dumps({**SMALL, "n_iter": 5, "force_task_id": "task(gone)"}).encode()
    head = f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: {place.netloc}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with httpx.Client(base_url=live_server.url, timeout=180) as client:
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall(head.encode() + body)
            look = "/sdapi/v1/jobs/task(gone)"
            until(lambda: client.get(look).status_code, lambda status: status == 200)
        job = until(lambda: get(client, "jobs/task(gone)"), lambda job: job["result"])
        assert (job["status"], job["task"], job["progress"]) == ("finished", "task(gone)", 1.0)
        assert [picture(each).size for each in job["result"]["images"]] == [(64, 64)] * 5
        assert json.loads(job["result"]["info"])["seed"] == 5
        assert job["result"]["parameters"]["prompt"] == "a red apple"
        assert get(client, f"jobs/{job['id']}")["id"] == job["id"]


def test_the_end_of_the_server_is_told_to_who_waits(tmp_path):
    server = LiveServer(tmp_path).start()
    try:
        with (
            httpx.Client(base_url=server.url, timeout=180) as client,
            ThreadPoolExecutor(1) as pool,
        ):
            waits = pool.submit(refused, client, "txt2img", 503, **LONG, force_task_id="long")
            look = "/sdapi/v1/jobs/long?send_images=false"
            until(lambda: client.get(look), lambda told: told.status_code == 200)
            server.stop()
            words = waits.result(120)
        assert "ask for /sdapi/v1/jobs/long when it runs again" in words
        assert "Traceback" not in server.log()
        server.start()
        with httpx.Client(base_url=server.url, timeout=180) as client:
            job = get(client, "jobs/long")
            assert job["status"] in ("queued", "running"), "it goes on"
            assert (job["task"], job["reason"]) == ("long", "")
    finally:
        server.stop()


def test_a_result_is_there_after_a_restart(client, services):
    post(client, "txt2img", **SMALL, force_task_id="again")
    newer = post(client, "txt2img", **{**SMALL, "seed": 6}, force_task_id="again")
    fresh = build_services(services.settings)
    try:
        row, task = Desk(fresh).find("again")
        assert row.status is Status.FINISHED
        assert json.loads(row.request)["seed"] == json.loads(newer["info"])["seed"] == 6
        assert json.loads(task.parameters)["prompt"] == "a red apple"
    finally:
        fresh.database.close()


def test_an_unknown_job_is_said_to_be(client):
    answer = client.get("/sdapi/v1/jobs/nothing")
    assert answer.status_code == 404
    assert "There is no job 'nothing'" in answer.json()["detail"]


def test_interruption_touches_only_the_callers_job(client, services):
    other = TestClient(client.app, client=("10.0.0.9", 50000))
    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(post, client, "txt2img", **LONG)
        until(lambda: get(client, "progress"), lambda told: told["state"]["job_no"] >= 1)
        theirs = pool.submit(post, other, "txt2img", **SMALL, force_task_id="theirs")
        waits = until(lambda: get(other, "progress"), lambda told: told["state"]["job_count"])
        assert waits["progress"] == 0.0
        line = r"Place 1 in the line(, begins in about \d+ (s|min))?"
        assert re.fullmatch(line, waits["textinfo"])
        assert get(other, "jobs/theirs")["position"] == 1
        assert get(other, "jobs/theirs")["status"] == "queued"
        third = TestClient(client.app, client=("10.0.0.10", 50000))
        post(third, "interrupt")
        post(third, "skip")
        assert get(third, "progress")["state"]["job_count"] == 0
        assert services.queue.line().running == 1
        assert get(third, "progress?id_task=theirs")["state"]["job"] == "scripts_txt2img"
        post(client, "interrupt")
        made = mine.result(120)
        assert 1 <= len(made["images"]) < 100
        assert len(theirs.result(120)["images"]) == 1, "it waited, and then it was made"


def test_a_job_that_waits_can_be_interrupted_by_its_task(client):
    other = TestClient(client.app, client=("10.0.0.9", 50000))
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(post, client, "txt2img", **LONG)
        until(lambda: get(client, "progress"), lambda told: told["progress"] > 0)
        waiting = pool.submit(post, other, "txt2img", **SMALL, force_task_id="waits")
        until(lambda: get(other, "progress"), lambda told: told["state"]["job_count"])
        post(client, "interrupt?id_task=waits")
        assert waiting.result(120)["images"] == []
        post(client, "interrupt")
        running.result(120)


def test_a_picture_can_be_skipped(client):
    with ThreadPoolExecutor(1) as pool:
        body = {**SMALL, "steps": 40, "n_iter": 3, "width": 128, "height": 128}
        running = pool.submit(post, client, "txt2img", **body)
        told = until(lambda: get(client, "progress"), lambda told: told["current_image"])
        assert picture(told["current_image"]).format == "PNG"
        assert get(client, "progress?skip_current_image=true")["current_image"] is None
        post(client, "skip")
        assert len(running.result(180)["images"]) < 3


def test_no_thread_waits_for_jobs(client, services):
    """More requests wait than there are threads for routes, and others are answered at once."""
    count = 50
    with ThreadPoolExecutor(count + 1) as pool:
        running = pool.submit(post, client, "txt2img", **LONG, force_task_id="long")
        until(lambda: get(client, "progress"), lambda told: told["progress"] > 0)
        many = [pool.submit(post, client, "txt2img", **SMALL) for _ in range(count)]
        until(lambda: services.queue.line().waiting, lambda waiting: waiting == count)
        began = time.monotonic()
        assert get(client, "samplers")
        assert time.monotonic() - began < 2
        post(client, "interrupt?id_task=long")
        running.result(120)
        assert sum(len(each.result(120)["images"]) for each in many) == count


def test_a_job_that_fails_says_why(client, services, monkeypatch):
    def fail(request, context):
        raise RuntimeError("the lamp is out")

    kind = services.queue._kinds["generate"]
    broken = {**services.queue._kinds, "generate": type(kind)(kind.request, kind.resolve, fail)}
    monkeypatch.setattr(services.queue, "_kinds", broken)
    words = refused(client, "txt2img", 500, **SMALL, force_task_id="fails")
    assert "the lamp is out" in words
    job = get(client, "jobs/fails")
    assert (job["status"], job["result"]["images"]) == ("failed", [])
    assert "the lamp is out" in job["reason"]


def test_a_full_queue_refuses_the_whole_request(client, services):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, client, "txt2img", **LONG)
        until(lambda: get(client, "progress"), lambda told: told["progress"] > 0)
        services.queue._longest = 2
        images = [{"name": str(n), "data": packed(Image.new("RGB", (8, 8)))} for n in range(3)]
        words = refused(client, "extra-batch-images", imageList=images, upscaler_1="Lanczos")
        assert "2 jobs are waiting already" in words
        assert services.queue.line().waiting == 0
        post(client, "interrupt")
        running.result(120)


def until(look, seen, seconds: float = 180):
    """What a function returns once that is as wished."""
    end = time.monotonic() + seconds
    while not seen(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found
