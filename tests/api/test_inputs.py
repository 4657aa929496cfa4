"""The routes for sources and masks: bytes in, a hash out, and nothing else accepted."""

import io

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from studio.api import inputs
from studio.services import Services

BINARY = {"content-type": "application/octet-stream"}


@pytest.fixture
def client(services: Services) -> TestClient:
    app = FastAPI()
    app.include_router(inputs.build_router(services))
    return TestClient(app)


def png(mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype="u1")
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def test_a_picture_goes_in_and_comes_back_pixel_by_pixel(client):
    told = client.post("/inputs", content=png(), headers=BINARY).json()
    assert (told["width"], told["height"], told["notes"]) == (14, 9, [])
    answer = client.get(f"/inputs/{told['hash']}")
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as back, Image.open(io.BytesIO(png())) as sent:
        assert np.array_equal(np.asarray(back), np.asarray(sent))


def test_a_mask_is_kept_as_a_mask(client, services):
    told = client.post("/inputs?kind=mask&name=m.png", content=png("L"), headers=BINARY).json()
    assert services.inputs.open(told["hash"]).mode == "L"


def test_what_was_changed_is_told(client):
    stream = io.BytesIO()
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(stream, "PNG")
    told = client.post("/inputs", content=stream.getvalue(), headers=BINARY).json()
    assert told["notes"] == ["Its transparent parts were put on white."]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "word"),
    [
        ("/inputs", b"", BINARY, 422, "empty"),
        ("/inputs?name=cat.png", b"hello", BINARY, 422, "cat.png is no picture"),
        ("/inputs?name=a.svg", b"<svg/>", BINARY, 422, "SVG"),
        ("/inputs?kind=mask", b"hello", BINARY, 422, "The mask"),
        ("/inputs", png(), {"content-type": "text/plain"}, 415, "as it is"),
        ("/inputs", png(), {"content-type": "multipart/form-data; boundary=x"}, 415, "as it is"),
    ],
)
def test_what_is_refused_is_told_in_one_sentence(client, path, body, headers, status, word):
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert word in answer.json()["detail"]
    assert answer.json()["detail"].endswith(".")


def test_a_file_beyond_the_limit_is_refused_while_it_arrives(services):
    small = services.settings.model_copy(update={"max_upload": 1_000_000})
    app = FastAPI()
    app.include_router(inputs.build_router(Limited(services, small)))  # type: ignore[arg-type]
    answer = TestClient(app).post("/inputs", content=b"x" * 1_000_001, headers=BINARY)
    assert answer.status_code == 413
    assert "1 MB" in answer.json()["detail"]


class Limited:
    """Services with other settings."""

    def __init__(self, services: Services, settings: object):
        self.inputs = services.inputs
        self.settings = settings


@pytest.mark.parametrize("digest", ["x", "..%2f..%2fetc%2fpasswd", "0" * 63, "A" * 64])
def test_nothing_but_a_hash_is_looked_for(client, digest):
    assert client.get(f"/inputs/{digest}").status_code in (404, 422)


def test_an_input_that_is_gone_is_told_of(client):
    answer = client.get(f"/inputs/{'0' * 64}")
    assert answer.status_code == 404
    assert "send the picture again" in answer.json()["detail"]
