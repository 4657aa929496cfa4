"""Calls of AUTOMATIC1111's API as programs make them, and what comes of them."""

import base64
import io
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

PREFIX = "/sdapi/v1"
SMALL = {"prompt": "a red apple", "steps": 2, "width": 64, "height": 64, "seed": 5}


def post(client: TestClient, path: str, **body: Any) -> Any:
    """The answer to a body, which must be 200."""
    answer = client.post(f"{PREFIX}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(client: TestClient, path: str) -> Any:
    """The answer of a route, which must be 200."""
    answer = client.get(f"{PREFIX}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, path: str, status: int = 422, **body: Any) -> str:
    """The words with which a body is refused."""
    answer = client.post(f"{PREFIX}/{path}", json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "detail", "body", "errors"}
    return str(told["errors"])


def picture(text: str) -> Image.Image:
    """A picture of an answer."""
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def packed(image: Image.Image, form: str = "PNG") -> str:
    """A picture as programs send it."""
    stream = io.BytesIO()
    image.save(stream, form)
    return base64.b64encode(stream.getvalue()).decode()
