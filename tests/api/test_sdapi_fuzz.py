"""Generated requests, right and wrong ones, find no fault in the routes of AUTOMATIC1111's API."""

from itertools import cycle

import pytest
import requests
import schemathesis
from fuzzing import small, sweep
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from sdapi_calls import packed

CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
LARGEST = {
    **{"steps": 2, "width": 64, "height": 64, "batch_size": 2, "n_iter": 2, "hr_scale": 1.5},
    **{"hr_second_pass_steps": 2, "hr_resize_x": 96, "hr_resize_y": 96, "upscaling_resize": 2},
    **{"firstphase_width": 64, "firstphase_height": 64},
    **{"upscaling_resize_w": 96, "upscaling_resize_h": 96},
}
"""What is right and no larger than this is made in a moment; wrong values stay as they are."""
UNSENT = {"steps": 2, "width": 64, "height": 64}
PICTURES = [packed(Image.new(mode, (16, 16), 200)) for mode in ("RGB", "L", "RGBA")]
MAKING = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img")


def test_no_request_finds_a_fault(live_server):
    schema = schemathesis.openapi.from_url(f"{live_server.url}/openapi.json")
    found = schema.include(path_regex="^/sdapi/v1/").get_all_operations()
    operations = [result.ok() for result in found]
    assert len(operations) > 30

    def ask(case, there, session):
        case.body = cheap(case.body, case.operation.path, there)
        response = case.call(session=session, timeout=180)
        assert "Traceback" not in response.text
        case.validate_response(response, checks=CHECKS)

    sweep(live_server, operations, ask)


def cheap(body, path, pictured):
    """The same body, but what it asks for is made in a moment; pictured: with real pictures."""
    if not isinstance(body, dict):
        return body
    body = small(body, LARGEST)
    if path in MAKING:
        body = {**UNSENT, **body}
    pictures = cycle(PICTURES)
    if pictured:
        for name in body.keys() & {"image", "mask"}:
            body[name] = next(pictures)
        if "init_images" in body or path.endswith("img2img"):
            body["init_images"] = [next(pictures)]
        if isinstance(body.get("imageList"), list):
            body["imageList"] = [{"data": next(pictures), "name": "a.png"} for _ in range(2)]
    return body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"a"',
        b'{"steps": NaN}',
        b'{"steps": 1e999}',
        b'{"seed": 123456789012345678901234567890}',
        b'{"subseed": -1e300}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\u0000", "steps": 2, "width": 64, "height": 64}',
        b'{"script_args": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"override_settings": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
        b"[" * 100_000,
        b'{"' + b"a" * 10_000 + b'": 1, "steps": "x"}',
    ],
)
@pytest.mark.parametrize("path", ["txt2img", "img2img", "options", "png-info"])
def test_bodies_that_no_program_should_send(live_server, raw, path):
    answer = requests.post(
        f"{live_server.url}/sdapi/v1/{path}",
        data=raw,
        headers={"content-type": "application/json"},
        timeout=180,
    )
    assert answer.status_code in (200, 422), answer.text
    assert answer.json() is None or answer.json().get("errors") or "images" in answer.json()
