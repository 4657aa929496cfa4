"""The administrators' routes and page: who is answered, and what they are told."""

import csv
import io
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from studio.api import admin, doors
from studio.api.sdapi import routes as sdapi
from studio.api.v1 import routes as v1
from studio.audit import Act
from studio.events import Progress, Status
from studio.models.broker import Holder
from studio.people import Role, acting_as
from studio.services import Services, build_services
from studio.settings import Settings, load_settings
from studio.store.jobs import JobTable

PASSWORD = "a pass, word: ü"
JOB = {"kind": "generate", "prompt": "a red apple", "steps": 2, "width": 64, "height": 64}
Visit = Callable[[str], TestClient]


@pytest.fixture
def guarded(tmp_path) -> Iterator[Services]:
    """Services with accounts and somebody of each role; no worker takes a job."""
    settings = Settings(
        data_dir=tmp_path, device="cpu", accounts="on", quota_images_a_day=40, audit_days=100
    )
    built = build_services(settings)
    for name, role in (("ada", Role.ADMINISTRATOR), ("ben", Role.MEMBER), ("cem", Role.VIEWER)):
        built.accounts.add(name, role, PASSWORD)
    yield built
    built.stop()


@pytest.fixture
def app(guarded: Services) -> FastAPI:
    """All but the page and what belongs to it, which takes long to build."""
    built = FastAPI()
    for door in (v1, admin, sdapi):
        built.include_router(door.build_router(guarded))
    doors.close(built, guarded)
    return built


@pytest.fixture
def visit(app: FastAPI, guarded: Services) -> Visit:
    """Makes clients that send somebody's token, "" for nobody's."""

    def new(name: str) -> TestClient:
        client = TestClient(app, client=("192.0.2.9", 5000))
        if name:
            token = guarded.accounts.make_token(guarded.accounts.named(name).id, "a test")
            client.headers["Authorization"] = f"Bearer {token}"
        return client

    return new


@pytest.fixture
def ada(visit: Visit) -> TestClient:
    return visit("ada")


def told(client: TestClient, path: str, **asked: object) -> dict:
    answer = client.get(f"/api/v1/admin/{path}", params=asked)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return answer.json()


def acts(client: TestClient, number: int = 1) -> list[list[str]]:
    """The last acts, the oldest of them first."""
    found = told(client, "audit", limit=number)["acts"]
    return [[each[k] for k in ("name", "act", "thing", "outcome")] for each in reversed(found)]


def test_administrators_alone_are_answered(guarded, visit):
    doors_of = (v1.build_router(guarded), admin.build_router(guarded))
    routes = [
        (method, route.path)
        for router in doors_of
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
        if route.path.startswith("/api/v1/admin") or route.path == "/admin"
    ]
    assert len(routes) >= 9
    for name, status in (("", 401), ("cem", 403), ("ben", 403), ("ada", 200)):
        client = visit(name)
        for method, path in routes:
            answer = client.request(method, path)
            assert answer.status_code == status, (name, method, path)
            if status == 403:
                assert "To see what everybody does one has to be an admin" in answer.text
    assert visit("ben").get("/api/v1/admin/no-such").status_code == 404


def test_who_is_at_home_is_answered_too(v1_client):
    for path in ("people", "jobs", "devices", "disk", "audit", "settings"):
        assert v1_client.get(f"admin/{path}").status_code == 200


def test_people_with_what_they_have_and_use(ada, visit, guarded):
    ben, cem = (guarded.accounts.named(name) for name in ("ben", "cem"))
    member = visit("ben")
    for _ in range(2):
        assert member.post("/api/v1/jobs", json=JOB).status_code == 201
    with acting_as(ben.person):
        guarded.run_now(guarded.queue.request(guarded.queue.page(0, 1).rows[0]))
    assert ada.post(f"/api/v1/people/{ben.id}/quotas", json={"disk": 5000}).status_code == 200
    nobody = "/api/v1/people/987654/quotas"
    assert ada.post(nobody, json={"disk": 5000}).status_code == 404
    assert ada.get(nobody).status_code == 404
    guarded.accounts.disable(cem.id)
    invited = guarded.accounts.add("Dora", Role.VIEWER)
    told(ada, "people")
    guarded.disk.wait()
    found = told(ada, "people")
    assert found["usual"] == {
        "waiting_jobs": 0,
        "images_a_day": 40,
        "training_hours": 0.0,
        "disk": 0,
    }
    people = {each["name"]: each for each in found["people"]}
    assert list(people) == ["ada", "ben", "cem", "Dora"]
    one = people["ben"]
    assert (one["waiting"], one["running"], one["images"]) == (2, 0, 1)
    assert one["disk"] > 0
    nothing = {"waiting_jobs": None, "images_a_day": None, "training_hours": None}
    assert one["own"] == {**nothing, "disk": 5000}
    assert people["ada"]["own"] == {**nothing, "disk": None}
    assert (one["role"], one["seen_at"] is not None) == ("member", True)
    assert (people["cem"]["disabled"], people["cem"]["seen_at"]) == (True, None)
    assert (people["Dora"]["id"], people["Dora"]["invited"]) == (invited, True)


def test_jobs_of_everybody_in_their_order(ada, visit, guarded):
    ben = visit("ben")
    first, second = (ben.post("/api/v1/jobs", json=JOB).json()["id"] for _ in range(2))
    own = ada.post("/api/v1/jobs", json=JOB | {"prompt": "a pear"}).json()["id"]
    fetched = ada.post("/api/v1/jobs", json={"kind": "download", "repo": "owner/name"}).json()["id"]
    found = told(ada, "jobs")
    assert [found["running"], found["total"], found["ended"]] == [[], 4, []]
    told_of = [(each["id"], each["position"], each["name"]) for each in found["waiting"]]
    assert sorted(told_of[:2]) == sorted([(first, 1, "ben"), (fetched, 1, "ada")])
    assert told_of[2:] == [(own, 2, "ada"), (second, 3, "ben")]
    assert ben.post(f"/api/v1/jobs/{second}/raise").status_code == 403
    assert ada.post(f"/api/v1/jobs/{second}/raise").status_code == 200
    found = told(ada, "jobs")["waiting"]
    raised = [(each["id"], each["raised"]) for each in found if each["kind"] == "generate"]
    assert raised == [(second, True), (first, False), (own, False)]
    ada.delete(f"/api/v1/jobs/{first}")
    ben.delete(f"/api/v1/jobs/{second}")
    row = JobTable(guarded.database).claim_next("a runner", ("generate",))
    assert row is not None
    assert row.id == own
    guarded.queue.live(own)[0].emit(Progress(step=1, steps=4, item=1, items=1))
    [running] = told(ada, "jobs")["running"]
    assert (running["id"], running["progress"]) == (own, 0.25)
    guarded.queue.end(own, Status.FAILED, "The card is gone.")
    ended = told(ada, "jobs")["ended"]
    assert [(each["status"], each["reason"]) for each in ended] == [
        ("failed", "The card is gone."),
        ("cancelled", ""),
        ("cancelled", ""),
    ]
    assert acts(ada) == [["ada", Act.CANCEL, f"generate {first[:8]} of ben", "done"]]


def test_what_is_done_by_other_doors_is_noted(ada, visit, guarded):
    ben = visit("ben")
    job = ben.post("/api/v1/jobs", json=JOB).json()["id"]
    ben.post(f"/api/v1/jobs/{job}/raise")
    ada.post(f"/api/v1/jobs/{job}/raise")
    refused, done = acts(ada, 2)
    what = f"generate {job[:8]} of ben"
    assert refused[:3] == ["ben", Act.RAISE, what]
    assert "has to be an administrator" in refused[3]
    assert done == ["ada", Act.RAISE, what, "done"]
    ben.post("/api/v1/jobs", json={"kind": "download", "repo": "owner/name"})
    ada.post("/api/v1/jobs", json={"kind": "download", "repo": "owner/name"})
    refused, done = acts(ada, 2)
    assert (refused[0], done) == ("ben", ["ada", Act.INSTALL, "owner/name", "done"])
    assert ada.post("/sdapi/v1/options", json={"samples_format": "webp"}).status_code == 200
    assert acts(ada) == [["ada", Act.OPTIONS, "samples_format webp", "done"]]
    model = guarded.catalogue.get("").id
    with acting_as(guarded.accounts.named("ada").person, "192.0.2.9"):
        guarded.library.make_default(model)
    assert acts(ada) == [["ada", Act.DEFAULT, model, "done"]]


def test_models_and_who_may_use_them(ada, guarded, tmp_path):
    lora = tmp_path / "models" / "loras" / "mine.safetensors"
    lora.parent.mkdir(parents=True)
    lora.write_bytes((8).to_bytes(8, "little") + b"{}      ")
    things = guarded.rights
    [item] = [each for each in guarded.library.items() if each.title == "mine"]
    person = guarded.accounts.named("ben")
    wanted = {"kind": item.kind, "id": item.id, "people": [person.id]}
    assert ada.post("/api/v1/rights", json=wanted).status_code == 200
    assert acts(ada) == [["ada", Act.LIMIT, "model loras/mine.safetensors: to ben", "done"]]
    ada.post("/api/v1/rights", json={**wanted, "people": []})
    assert acts(ada)[0][2].endswith("to nobody, so for everybody")
    assert things.get(item.kind, item.id).people == ()
    with acting_as(guarded.accounts.named("ada").person):
        key = guarded.library.throw_away(item.kind, item.id)
        guarded.library.take_back(key)
        key = guarded.library.throw_away(item.kind, item.id)
        guarded.library.delete(key)
    named = f"{item.kind} {item.id}"
    assert [each[1:] for each in acts(ada, 4)] == [
        [Act.TRASH, named, "done"],
        [Act.RESTORE, "mine", "done"],
        [Act.TRASH, named, "done"],
        [Act.DELETE, "mine", "done"],
    ]


def test_devices(ada, guarded):
    [device] = told(ada, "devices")["devices"]
    assert (device["state"], device["held"], device["restarts"]) == ("starting", [], 0)
    guarded.engine.device()
    with guarded.engine.broker.lease(Holder("a training", "abc"), alone=True):
        [device] = told(ada, "devices")["devices"]
    assert (device["state"], device["name"], device["place"]) == ("busy", "cpu", "")
    assert 0 < device["memory_used"] < device["memory_total"]
    [lease] = device["leases"]
    assert (lease["holder"], lease["job"], lease["alone"]) == ("a training", "abc", True)
    assert told(ada, "devices")["devices"][0]["state"] == "ready"


def test_the_disk_is_measured_in_the_background(ada, guarded):
    first = told(ada, "disk")
    assert 0 < first["free"] < first["total"]
    assert (first["measured_at"], first["people"]) == (None, [])
    guarded.disk.wait()
    found = told(ada, "disk")
    assert (found["measuring"], found["measured_at"] is not None) == (False, True)
    assert "atelier.db" in {each["name"] for each in found["rest"]}
    again = ada.post("/api/v1/admin/disk")
    assert again.status_code == 200
    guarded.disk.wait()
    assert told(ada, "disk")["measured_at"] > found["measured_at"]


def test_the_audit_log_is_filtered_and_comes_in_pages(ada, visit, guarded):
    ben = guarded.accounts.named("ben")
    for number in range(3):
        guarded.accounts.rename(ben.id, f"ben {number}")
    with acting_as(guarded.accounts.get(ben.id).person, "192.0.2.3"):
        guarded.accounts.make_token(ben.id, "=1+1")
    found = told(ada, "audit", act=Act.RENAME.value, limit=2)
    assert [each["thing"] for each in found["acts"]] == ["ben 1: ben 2", "ben 0: ben 1"]
    assert (found["total"], found["days"], len(found["known"])) == (3, 100, len(Act))
    assert {each["id"]: each["name"] for each in found["people"]} == {0: "", ben.id: "ben 2"}
    [only] = told(ada, "audit", act=Act.RENAME.value, offset=2)["acts"]
    assert only["thing"] == "ben: ben 0"
    [own] = told(ada, "audit", person=ben.id)["acts"]
    assert (own["place"], own["act"]) == ("192.0.2.3", "make a token")
    assert ada.get("/api/v1/admin/audit", params={"act": "conquer"}).status_code == 422


def test_the_audit_log_as_a_table(ada, guarded):
    ben = guarded.accounts.named("ben")
    with acting_as(ben.person, "192.0.2.3"):
        guarded.accounts.make_token(ben.id, '=HYPERLINK("x"), "y"')
    answer = ada.get("/api/v1/admin/audit.csv", params={"person": ben.id})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    head, row = csv.reader(io.StringIO(answer.text))
    assert head == ["time", "person", "name", "place", "act", "thing", "outcome"]
    assert row[1:] == [
        str(ben.id),
        "ben",
        "192.0.2.3",
        "make a token",
        '\'=HYPERLINK("x"), "y" of ben',
        "done",
    ]
    everything = ada.get("/api/v1/admin/audit.csv").text
    assert everything.count("\n") == told(ada, "audit")["total"] + 1


def test_settings_without_their_secrets(tmp_path, monkeypatch):
    (tmp_path / "atelier.toml").write_text('trash_days = 7\nidle_command = "curl -H key-of-mine"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_PASSWORD", "three words and more")
    monkeypatch.setenv("atelier_quota_disk", "20GB")
    built = build_services(load_settings(data_dir=tmp_path / "data", device="cpu"))
    monkeypatch.delenv("ATELIER_PASSWORD")  # as the server does once it has it
    app = FastAPI()
    app.include_router(v1.build_router(built))
    with TestClient(app) as client:
        answer = client.get("/api/v1/admin/settings")
    built.stop()
    assert "three words" not in answer.text
    assert "key-of-mine" not in answer.text
    found = {each["name"]: each for each in answer.json()["settings"]}
    assert set(found) == set(Settings.model_fields)
    shown = {name: (each["value"], each["source"]) for name, each in found.items()}
    assert shown["trash_days"] == ("7", "file")
    assert shown["password"] == ("set", "environment")
    assert shown["database_url"] == ("not set", "default")
    assert shown["idle_command"] == ("set", "file")
    assert shown["quota_disk"] == ("20GB", "environment")
    assert shown["device"] == ("cpu", "command")
    assert shown["hang_seconds"] == ("900", "default")
    assert (found["trash_days"]["default"], found["trash_days"]["variable"]) == (
        "30",
        "ATELIER_TRASH_DAYS",
    )
    assert answer.json()["file"] == str(tmp_path / "atelier.toml")


def test_the_page_has_its_script_and_no_names(ada, visit):
    page = ada.get("/admin")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'data-accounts="on"' in page.text
    assert "/api/v1/admin" in page.text
    assert "ben" not in page.text.split("<script>")[0]
