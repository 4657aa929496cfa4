"""The endpoints that make pictures, as gradio_client calls them, with the model that ships."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from browser.live_server import LiveServer
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

SMALL = {"width": 128, "height": 128, "steps": 3, "seed": 5}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = LiveServer(tmp_path_factory.mktemp("live"))
    try:
        yield live.start()
    finally:
        live.stop()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    opened = Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("down"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def apple(client):
    """A picture's file, and its facts."""
    return client.predict(prompt="a red apple", **SMALL, api_name="/generate")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_picture_is_made(client, apple, server):
    path, facts = apple
    with Image.open(path) as image:
        assert (image.size, image.format) == ((128, 128), "PNG")
        assert image.info["parameters"] == facts["infotext"]
    assert (facts["seed"], facts["width"], facts["height"]) == (5, 128, 128)
    assert pixels(path).std() > 20, "it shows something"
    assert facts["url"] == f"/outputs/{facts['output']}/image"
    again, _ = client.predict(prompt="a red apple", **SMALL, api_name="/generate")
    assert (pixels(again) == pixels(path)).all()


def test_what_is_left_out_is_decided_by_the_model(client):
    _, facts = client.predict(prompt="a red apple", api_name="/generate")
    assert facts["width"] > 64
    assert facts["seed"] >= 0


def test_a_picture_is_changed_where_the_mask_is_white(client, apple, tmp_path):
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((40, 40, 87, 87), fill=255)
    mask.save(tmp_path / "mask.png")
    asked = {"prompt": "a blue cat", "mask": handle_file(tmp_path / "mask.png"), "strength": 0.9}
    sent, _ = client.predict(**asked, image=handle_file(apple[0]), seed=3, api_name="/edit")
    named, facts = client.predict(**asked, output=apple[1]["output"], seed=3, api_name="/edit")
    before, after = pixels(apple[0]), pixels(sent)
    assert (before[:24] == after[:24]).all()
    assert (before[50:78, 50:78] != after[50:78, 50:78]).any()
    assert (pixels(named) == after).all()
    assert facts["output"] > apple[1]["output"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"prompt": "x", "steps": 500, "api_name": "/generate"}, "Steps must be less than"),
        ({"prompt": "x", "steps": 2.5, "api_name": "/generate"}, "Steps"),
        ({"prompt": "x", "model": "none", "api_name": "/generate"}, "not installed"),
        ({"prompt": "x", "api_name": "/edit"}, "no picture to change"),
        ({"prompt": "x", "output": 999, "api_name": "/edit"}, "no picture 999"),
        ({"prompt": "x", "output": -1, "api_name": "/edit"}, "no picture -1"),
        ({"prompt": "x", "output": 1e300, "api_name": "/edit"}, "no picture 1e"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(client, call, words):
    with pytest.raises(AppError, match=words):
        client.predict(**call)


def test_more_calls_wait_than_the_server_has_threads(client):
    with ThreadPoolExecutor(50) as pool:
        asked = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 1}
        calls = [pool.submit(client.predict, **asked, api_name="/generate") for _ in range(50)]
        client.predict(question="Who built it?", text="Ada built it.", api_name="/answer")
        assert not all(call.done() for call in calls), "a question need not wait for all of them"
        outputs = {call.result(300)[1]["output"] for call in calls}
    assert len(outputs) == 50


def test_copies_are_deleted_when_they_were_fetched_long_ago(client, apple, server):
    folder = server.data / "uploads" / "made"
    old = folder / apple[1]["job"]
    assert [file.suffix for file in old.iterdir()] == [".png"]
    os.utime(old, (time.time() - 4000,) * 2)
    client.predict(prompt="a pear", **SMALL, api_name="/generate")
    assert not old.exists()
    assert Path(server.data / "outputs").is_dir()
    path, _ = client.predict(prompt="a red apple", **SMALL, api_name="/generate")
    assert (pixels(path) == pixels(apple[0])).all()
