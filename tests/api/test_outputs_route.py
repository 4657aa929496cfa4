"""Saved pictures over HTTP: by id only, with headers that keep a picture a picture."""

import io
import re
from dataclasses import replace

import pytest
from PIL import Image
from sample_pictures import picture, png

from studio.requests import GenerationRequest
from studio.services import Services


@pytest.fixture
def output_id(services: Services) -> int:
    job_id = services.queue.submit(GenerationRequest())
    services.queue.cancel(job_id)
    made = replace(picture(prompt="a <red> apple"), data=png(600, 300), width=600, height=300)
    return services.outputs.save(job_id, made)


def test_the_picture_its_thumbnail_and_its_download(client, services, output_id):
    stored = services.outputs.path(output_id)
    image = client.get(f"/outputs/{output_id}/image")
    assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    assert image.content == stored.read_bytes()
    assert "content-disposition" not in image.headers
    thumbnail = client.get(f"/outputs/{output_id}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(thumbnail.content)).size == (256, 128)
    download = client.get(f"/outputs/{output_id}/download")
    assert download.content == stored.read_bytes()
    named = f'attachment; filename="atelier-{stored.name}"'
    assert download.headers["content-disposition"] == named
    for response in (image, thumbnail, download):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert "immutable" in response.headers["cache-control"]


def test_the_facts_of_a_picture(client, services, output_id):
    facts = client.get(f"/outputs/{output_id}").json()
    assert facts["prompt"] == "a <red> apple"
    assert (facts["id"], facts["width"], facts["height"], facts["seed"]) == (output_id, 600, 300, 7)
    assert facts["name"] == services.outputs.path(output_id).name
    assert facts["trashed"] is False
    services.outputs.trash([output_id])
    assert client.get(f"/outputs/{output_id}").json()["trashed"] is True
    assert str(services.settings.data_dir) not in str(facts), "where files are is nobody's business"


def test_what_is_not_there_is_told_in_a_sentence(client, services, output_id):
    for what in ("", "/image", "/thumbnail", "/download"):
        response = client.get(f"/outputs/{output_id + 1}{what}")
        assert response.status_code == 404
        sentence = f"There is no picture {output_id + 1}; it may have been deleted."
        assert response.json() == {"detail": sentence}


def test_a_file_that_somebody_removed_is_told_in_a_sentence(client, services, output_id):
    services.outputs.path(output_id).unlink()
    for what in ("image", "download"):
        response = client.get(f"/outputs/{output_id}/{what}")
        assert response.status_code == 404
        assert re.fullmatch(r"The file of picture \d+ is gone \(.*\)\.", response.json()["detail"])
    assert client.get(f"/outputs/{output_id}").status_code == 200
    assert client.get(f"/outputs/{output_id}/thumbnail").status_code == 200


NO_IDS = [
    "0",
    "-1",
    "1.5",
    "abc",
    "1%00",
    "9" * 19,
    "9" * 5000,
    "..",
    "%2e%2e%2fatelier.db",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%252e%252e%252fatelier.db",
    "....//....//etc/passwd",
    "/etc/passwd",
    "C:\\windows\\win.ini",
    "1;ls",
]


def test_only_ids_are_taken(client, output_id):
    for given in NO_IDS:
        for what in ("", "/image", "/thumbnail", "/download"):
            response = client.get(f"/outputs/{given}{what}")
            page = response.headers["content-type"].startswith("text/html")
            assert response.status_code in (404, 422) or page, given
            assert b"root:" not in response.content
            assert b"SQLite format" not in response.content


def test_a_picture_that_cannot_be_read_is_told_in_a_sentence(client, services, output_id):
    services.outputs.path(output_id).write_bytes(b"no picture")
    for file in (services.settings.data_dir / "thumbnails").rglob("*.webp"):
        file.unlink()
    response = client.get(f"/outputs/{output_id}/thumbnail")
    assert response.status_code == 500
    assert response.json()["detail"].startswith(
        f"Could not make a thumbnail of picture {output_id}"
    )


def test_nothing_can_be_changed_over_these_routes(client, output_id):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for what in ("", "/image"):
            answer = client.request(method, f"/outputs/{output_id}{what}")
            assert answer.status_code in (404, 405)
