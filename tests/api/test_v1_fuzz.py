"""Generated requests, right and wrong ones, find no fault in the studio's own API."""

import io

import pytest
import requests
import schemathesis
from fuzzing import small, sweep
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
    content_type_conformance,
]
LARGEST = {
    **{"steps": 2, "width": 64, "height": 64, "batch_size": 2, "batch_count": 2, "scale": 2},
    **{"hires_scale": 1.5, "hires_steps": 2, "rounds": 1, "passages": 3},
    **{f"extend_{side}": 16 for side in ("left", "right", "top", "bottom")},
}
"""What is right and no larger than this is made in a moment; wrong values stay as they are."""
UNSENT = {"generate": {"width": 64, "height": 64}, "edit": {"width": 64, "height": 64}}
UNSENT["timing"] = {**UNSENT["generate"], "steps": 1, "rounds": 1}
FETCHING = {"download", "fetch-data", "fetch-pictures"}
"""What would ask another host, which tests do not."""


@pytest.fixture
def known(live_server):
    """Ids of things that are there, for requests that nobody would guess."""
    url = f"{live_server.url}/api/v1"
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), 90).save(stream, "PNG")
    kept = requests.post(
        f"{url}/inputs", stream.getvalue(), headers={"content-type": "image/png"}, timeout=60
    ).json()
    body = {"kind": "generate", "steps": 1, **UNSENT["generate"]}
    job = requests.post(f"{url}/jobs", json=body, timeout=60).json()["id"]
    assert "event: finished" in requests.get(f"{url}/jobs/{job}/events", timeout=120).text
    [output] = requests.get(f"{url}/jobs/{job}", timeout=60).json()["outputs"]
    return {"jobs": f"{url}/jobs", "job_id": job, "output_id": output, "digest": kept["hash"]}


def test_no_request_finds_a_fault(live_server, known):
    own = f"{live_server.url}/api/v1/openapi.json"
    operations = [each.ok() for each in schemathesis.openapi.from_url(own).get_all_operations()]
    assert len(operations) > 20
    whole = schemathesis.openapi.from_url(f"{live_server.url}/openapi.json")
    found = whole.include(path_regex="^/api/v1/").get_all_operations()
    # A description is not among the operations that are made of it.
    described = {each.label for each in operations} | {"GET /api/v1/openapi.json"}
    assert described == {each.ok().label for each in found}

    def ask(case, there, session):
        case.body = cheap(case.body, known["digest"] if there else None)
        for name in (case.path_parameters or {}).keys() & known.keys() if there else ():
            case.path_parameters[name] = known[name]
        response = case.call(session=session, timeout=180)
        assert b"Traceback" not in response.content
        case.validate_response(response, checks=CHECKS)
        if response.status_code == 201 and "kind" in response.json():
            # Or the jobs of thousands of requests would be done one after the other.
            session.delete(f"{known['jobs']}/{response.json()['id']}", timeout=60)

    sweep(live_server, operations, ask)


def cheap(body, digest):
    """The same body, but what it asks for is made in a moment and here."""
    if not isinstance(body, dict):
        return body
    body = {**UNSENT.get(str(body.get("kind")), {}), **body}
    if str(body.get("kind")) in FETCHING:
        body["kind"] = "timing"
    body = small(body, LARGEST)
    if digest:
        for name in body.keys() & {"source", "mask"}:
            body[name] = digest
    return body
