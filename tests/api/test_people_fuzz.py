"""Generated requests of nobody, a viewer and a member find no fault and nothing of anybody else's.

All ids that are filled in are of somebody else's things. FUZZ_REQUESTS: how many are sent to both
APIs by all three; 20,000 are what the figure asks for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import fuzzing
import pytest
import requests
import schemathesis
import test_sdapi_fuzz
import test_v1_fuzz
from fuzzing import sweep
from people_server import PeopleServer
from sample_pictures import png
from schemathesis.checks import not_a_server_error

SECRET = "somebody's own walrus"
"""Words of a prompt that is nobody's but its owner's."""
WHO = ("nobody", "viewer", "member")
SHARE = 6
"""Of the requests each of the three sends a share to each of the two APIs."""
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
HARMLESS = ("interrupt", "skip", "png-info", "options")
"""What viewers may ask for under /sdapi/v1; `options` with nothing in it that would change."""


@dataclass
class Studio:
    """A server with accounts, and ids of what the owner has."""

    server: PeopleServer
    owned: dict[str, object] = field(default_factory=dict)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(PeopleServer(tmp_path_factory.mktemp("people")))
    try:
        made.server.start()
        made.owned = things_of_the_owner(made)
        yield made
    finally:
        made.server.stop()


def things_of_the_owner(studio: Studio) -> dict[str, object]:
    """Ids of a job, a picture and an input, as the paths and bodies of both APIs name them."""
    url, known = f"{studio.server.url}/api/v1", studio.server.known("owner")
    picture = {"content-type": "image/png"} | known
    kept = requests.post(f"{url}/inputs", png(), headers=picture, timeout=60).json()
    body = {"kind": "generate", "prompt": SECRET, "steps": 1, "width": 64, "height": 64}
    job = requests.post(f"{url}/jobs", json=body, headers=known, timeout=60).json()["id"]
    events = requests.get(f"{url}/jobs/{job}/events", headers=known, timeout=300).text
    assert "event: finished" in events
    [output] = requests.get(f"{url}/jobs/{job}", headers=known, timeout=60).json()["outputs"]
    return {"job_id": job, "task_id": job, "output_id": output, "digest": kept["hash"]}


def operations_of(studio: Studio, prefix: str) -> list:
    """All operations of an API; ada may read what it is."""
    described = requests.get(
        f"{studio.server.url}/openapi.json", headers=studio.server.known("ada"), timeout=60
    ).json()
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=studio.server.url)
    found = schema.include(path_regex=f"^{prefix}/").get_all_operations()
    return [each.ok() for each in found]


def checked(studio: Studio, who: str, cheap: Callable) -> Callable:
    """Sends a case as somebody, and looks at the answer."""
    headers = studio.server.known(who)

    def ask(case, there, session) -> None:
        case.body = cheap(case, there)
        for name in (case.path_parameters or {}).keys() & studio.owned.keys() if there else ():
            case.path_parameters[name] = studio.owned[name]
        response = case.call(session=session, headers=headers, timeout=180)
        case.validate_response(response, checks=[not_a_server_error])
        assert b"Traceback" not in response.content
        assert SECRET.encode() not in response.content, "another's words"
        path, passed = case.operation.path, response.status_code < 400
        if who == "nobody":
            assert response.status_code == 401, (case.method, path)
        elif who == "viewer" and case.method in CHANGING and passed:
            last = path.rpartition("/")[2]
            assert path.startswith("/sdapi/"), path
            assert last in HARMLESS or last.startswith("refresh-"), path
        if there and passed:
            named = (case.path_parameters or {}).keys() & studio.owned.keys()
            assert not named, f"{case.method} {path} found what is another's"
        if passed and response.status_code == 201 and "kind" in response.json():
            job = f"{studio.server.url}/api/v1/jobs/{response.json()['id']}"
            session.delete(job, headers=headers, timeout=60)

    return ask


@pytest.fixture
def shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "REQUESTS", max(320, fuzzing.REQUESTS // SHARE))


@pytest.mark.parametrize("who", WHO)
def test_our_own_api_by_everybody(studio, shared_out, who):
    operations = operations_of(studio, "/api/v1")
    assert len(operations) > 20
    digest = studio.owned["digest"]

    def cheap(case, there):
        return test_v1_fuzz.cheap(case.body, digest if there else None)

    sweep(studio.server, operations, checked(studio, who, cheap))


@pytest.mark.parametrize("who", WHO)
def test_the_api_of_automatic1111_by_everybody(studio, shared_out, who):
    operations = operations_of(studio, "/sdapi/v1")
    assert len(operations) > 30

    def cheap(case, there):
        return test_sdapi_fuzz.cheap(case.body, case.operation.path, there)

    sweep(studio.server, operations, checked(studio, who, cheap))


def test_afterwards_the_owner_has_what_they_had(studio):
    known = {"headers": studio.server.known("owner"), "timeout": 60}
    url = f"{studio.server.url}/api/v1"
    told = requests.get(f"{url}/outputs/{studio.owned['output_id']}", **known).json()
    assert told["prompt"] == SECRET
    assert not told["trashed"]
    assert requests.get(f"{url}/jobs/{studio.owned['job_id']}", **known).status_code == 200
