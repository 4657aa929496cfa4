"""Pictures, inputs, models, runs and readers over the studio's own API, and its description."""

import io
import json
import re

import pytest
from PIL import Image

from studio.requests import GenerationRequest
from studio.training.run_folder import Phase, RunStatus
from studio.training.task import Task
from studio.training_requests import TrainRequest

SMALL = GenerationRequest(prompt="a red apple", steps=2, width=64, height=64, seed=5)
BRIDGE = "The old bridge was closed in 1931. Ada built a new one."


def get(client, path, status=200, **asked):
    answer = client.get(path, params=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def png(size=(64, 48), mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, size, 90).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def made(services):
    """A picture."""
    return services.queue.outputs(services.run_now(SMALL))[0]


class TestOutputs:
    def test_a_picture_is_found_shown_thrown_away_and_taken_back(self, v1_client, made):
        listed = get(v1_client, "outputs")
        assert (listed["total"], [each["id"] for each in listed["outputs"]]) == (1, [made])
        told = get(v1_client, f"outputs/{made}")
        assert (told["seed"], told["width"], told["prompt"]) == (5, 64, "a red apple")
        assert told["request"]["steps"] == 2
        file = v1_client.get(f"outputs/{made}/file")
        assert Image.open(io.BytesIO(file.content)).info["parameters"] == told["infotext"]
        small = v1_client.get(f"outputs/{made}/thumbnail")
        assert (small.headers["content-type"], small.content[8:12]) == ("image/webp", b"WEBP")
        assert v1_client.delete(f"outputs/{made}").json()["trashed"]
        assert get(v1_client, "outputs")["total"] == 0
        assert get(v1_client, "outputs", trash=True)["total"] == 1
        assert not v1_client.post(f"outputs/{made}/restore").json()["trashed"]
        assert get(v1_client, "outputs")["total"] == 1

    def test_pictures_are_searched(self, v1_client, made):
        assert get(v1_client, "outputs", search="APPLE red")["total"] == 1
        assert get(v1_client, "outputs", search="pear")["total"] == 0
        assert get(v1_client, "outputs", model="no such")["total"] == 0
        assert get(v1_client, "outputs", offset=1)["outputs"] == []

    def test_what_is_not_there(self, v1_client):
        for path in ("outputs/9", "outputs/9/file", "outputs/9/thumbnail"):
            assert "There is no picture 9" in get(v1_client, path, 404)["detail"]
        assert v1_client.delete("outputs/9").status_code == 404
        assert v1_client.post("outputs/9/restore").status_code == 404
        assert get(v1_client, "outputs/0", 422)["field"] == "output_id"


class TestInputs:
    @pytest.mark.parametrize("kind", ["application/octet-stream", "image/png"])
    def test_a_picture_is_sent_and_edited(self, v1_client, kind):
        sent = v1_client.post("inputs", content=png(), headers={"content-type": kind})
        assert sent.status_code == 201, sent.text
        told = sent.json()
        assert sent.headers["location"] == f"/api/v1/inputs/{told['hash']}"
        assert (told["width"], told["height"]) == (64, 48)
        kept = v1_client.get(f"inputs/{told['hash']}")
        assert Image.open(io.BytesIO(kept.content)).size == (64, 48)
        body = {"kind": "edit", "source": told["hash"], "prompt": "x", "steps": 2}
        job = v1_client.post("jobs", json=body).json()["id"]
        assert "event: finished" in v1_client.get(f"jobs/{job}/events").text
        [output] = get(v1_client, f"jobs/{job}")["outputs"]
        assert get(v1_client, f"outputs/{output}")["source"] == told["hash"]

    def test_what_is_no_picture_is_refused(self, v1_client, services):
        headers = {"content-type": "application/octet-stream"}
        assert v1_client.post("inputs", content=b"x", headers=headers).status_code == 422
        form = v1_client.post("inputs", data={"file": "x"})
        assert (form.status_code, form.json()["status"]) == (415, 415)
        large = b"x" * (services.settings.max_upload + 1)
        assert v1_client.post("inputs", content=large, headers=headers).status_code == 413
        asked = v1_client.post("inputs", params={"kind": "x"}, content=png(), headers=headers)
        assert asked.json()["field"] == "kind"
        assert get(v1_client, f"inputs/{'0' * 64}", 404)["title"] == "Not Found"
        assert get(v1_client, "inputs/..%2fx", 404)


class TestModels:
    def test_models_tell_what_they_do_best_with(self, v1_client, services, made):
        [model] = get(v1_client, "models")["models"]
        entry = services.catalogue.get("")
        assert (model["id"], model["ships"], model["is_default"]) == (entry.id, True, True)
        assert model["family"] == entry.family.name
        assert {"width": entry.width, "height": entry.height} in model["sizes"]
        assert model["state"] == "loaded"
        services.engine.empty()
        assert get(v1_client, "models")["models"][0]["state"] == "on disk"

    def test_a_damaged_model_says_why(self, v1_client, services):
        folder = services.settings.data_dir / "models"
        (folder / "broken.safetensors").write_bytes(b"nothing")
        (folder / "upscalers").mkdir()
        (folder / "upscalers" / "old.pth").write_bytes(b"pickle")
        broken = next(e for e in get(v1_client, "models")["models"] if e["id"] == "broken")
        assert broken["state"] == "unusable"
        assert broken["problem"].endswith(".")
        upscalers = get(v1_client, "upscalers")["upscalers"]
        assert "pickle" in next(each for each in upscalers if each["name"] == "old")["problem"]
        kinds = {each["kind"] for each in upscalers}
        assert kinds == {"resampling", "latent", "model"}

    def test_readers_and_adapters(self, v1_client, services):
        readers = get(v1_client, "readers")["readers"]
        assert [each["id"] for each in readers] == [e.id for e in services.readers.entries()]
        assert all(each["ships"] and each["bytes"] for each in readers)
        assert get(v1_client, "adapters")["adapters"] == []


@pytest.fixture
def run(services):
    """A run that has failed, with some curves and a sample."""
    request = TrainRequest(name="my-dog", pictures="dogs", steps=10, sample_prompts=("a dog",))
    path = services.settings.data_dir / "runs" / "my-dog"
    path.mkdir(parents=True)
    data = services.settings.data_dir
    Task(request=request, data=data, pictures=data / "pictures" / "dogs").write(path)
    run = services.runs.folder("my-dog")
    run.tell(RunStatus(phase=Phase.FAILED, step=4, steps=10, reason="The disk is full."))
    run.measure(1, {"loss": 0.5})
    run.measure(2, {"loss": float("nan"), "rate": 1e-4})
    run.notice("It is slow.", 2)
    sample = run.sample_path(2, 0)
    sample.parent.mkdir()
    Image.new("RGB", (8, 8)).save(sample)
    return "my-dog"


class TestRuns:
    def test_a_run_tells_where_it_stands(self, v1_client, run):
        [listed] = get(v1_client, "runs")["runs"]
        assert (listed["name"], listed["phase"], listed["step"]) == (run, "failed", 4)
        told = get(v1_client, f"runs/{run}")
        assert told["request"]["pictures"] == "dogs"
        assert told["notices"] == ["It is slow."]
        assert told["can_resume"]
        assert "/" not in told["result"]

    def test_runs_are_filtered(self, v1_client, run):
        assert get(v1_client, "runs", phase="failed", method="lora", text="DOG")["runs"]
        for asked in ({"phase": "finished"}, {"method": "full"}, {"owner": "x"}, {"text": "cat"}):
            assert get(v1_client, "runs", **asked)["runs"] == []
        assert get(v1_client, "runs", 422, phase="x")["field"] == "phase"

    def test_curves_go_on_where_they_were(self, v1_client, services, run):
        first = get(v1_client, f"runs/{run}/curve")
        assert first["points"] == [
            {"step": 1, "values": {"loss": 0.5}},
            {"step": 2, "values": {"loss": None, "rate": 1e-4}},
        ]
        services.runs.folder(run).measure(3, {"loss": 0.25})
        more = get(v1_client, f"runs/{run}/curve", start=first["next"])
        assert [each["step"] for each in more["points"]] == [3]
        assert get(v1_client, f"runs/{run}/curve", start=10**9)["points"] == []

    def test_samples_have_addresses(self, v1_client, run):
        [sample] = get(v1_client, f"runs/{run}/samples")["samples"]
        assert sample == {
            "step": 2,
            "number": 0,
            "prompt": "a dog",
            "url": "/runs/my-dog/samples/2/0",
        }

    def test_what_cannot_be_done_to_a_run_is_refused(self, v1_client, run):
        for action in ("pause", "stop", "kill"):
            refused = v1_client.post(f"runs/{run}/{action}")
            assert refused.status_code == 422, action
            assert run in refused.json()["detail"]
        refused = v1_client.post(f"runs/{run}/resume")
        assert refused.status_code == 422, "its pictures are gone"
        assert "'dogs'" in refused.json()["detail"]
        assert v1_client.post(f"runs/{run}/dance").json()["field"] == "action"
        assert v1_client.post("runs/none/stop").status_code == 404
        assert v1_client.get("runs/none").status_code == 404


class TestReader:
    def test_a_question_is_answered(self, v1_client):
        body = {"question": "When was the old bridge closed?", "context": BRIDGE, "answers": 2}
        answer = v1_client.post("reader/answer", json=body)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        first = told["answers"][0]
        assert told["answer"] == first["text"] == BRIDGE[first["start"] : first["end"]] == "1931"
        assert told["is_answered"]
        assert len(told["answers"]) == 2
        silent = v1_client.post("reader/answer", json={**body, "threshold": 0}).json()
        assert (silent["answer"], silent["is_answered"]) == ("", False)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"question": "Who?"}, "context"),
            ({"question": " ", "context": BRIDGE}, "question"),
            ({"question": "Who?", "context": "\0"}, ""),
            ({"question": "Who?", "context": BRIDGE, "reader": "none"}, ""),
            ({"question": "Who?", "context": BRIDGE, "answers": 99}, "answers"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, v1_client, body, field):
        answer = v1_client.post("reader/answer", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == field

    def test_an_evaluation_is_a_job_and_stands_on_the_leaderboard(self, v1_client, services):
        squad = {"version": "v2.0", "data": [{"title": "Bridge", "paragraphs": [_paragraph()]}]}
        services.data_sets.add(json.dumps(squad).encode(), "mine.json")
        body = {"kind": "evaluate-reader", "data_set": "mine", "who": "me"}
        job = v1_client.post("jobs", json=body).json()["id"]
        assert v1_client.get(f"jobs/{job}/events").text.count("event: finished") == 1
        board = get(v1_client, "reader/leaderboard")
        assert board["data_set"] == "mine"
        assert [each["name"] for each in board["data_sets"]] == ["mine"]
        ranked = [each for each in board["standings"] if each["rank"]]
        assert [(each["who"], each["rank"]) for each in ranked] == [("me", 1)]
        assert ranked[0]["scores"]["total"] == 2
        assert get(v1_client, "reader/leaderboard", data_set="none")["standings"] == []


def _paragraph():
    start = BRIDGE.index("1931")
    return {
        "context": BRIDGE,
        "qas": [
            {
                "id": "1",
                "question": "When was the old bridge closed?",
                "is_impossible": False,
                "answers": [{"text": "1931", "answer_start": start}],
            },
            {"id": "2", "question": "Who sank?", "is_impossible": True, "answers": []},
        ],
    }


class TestDescription:
    def test_every_operation_is_described(self, v1_client):
        told = get(v1_client, "openapi.json")
        assert told["openapi"].startswith("3.1")
        assert "security" not in told
        ids = set()
        for path, methods in told["paths"].items():
            assert path.startswith("/api/v1/")
            for operation in methods.values():
                assert operation["summary"]
                assert operation["description"]
                assert operation["tags"][0] in {tag["name"] for tag in told["tags"]}
                ids.add(operation["operationId"])
                answers = [a for s, a in operation["responses"].items() if s[0] == "4"]
                schemas = {a["content"]["application/json"]["schema"]["$ref"] for a in answers}
                assert schemas == {"#/components/schemas/Problem"}
        assert len(ids) == sum(len(methods) for methods in told["paths"].values())
        named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(told)))
        assert named == set(told["components"]["schemas"])

    def test_what_tells_requests_apart_is_needed(self, v1_client):
        told = get(v1_client, "openapi.json")
        body = told["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
        assert body["schema"]["discriminator"]["propertyName"] == "kind"
        assert set(body["examples"]) >= {"generate", "edit", "train"}
        for reference in body["schema"]["discriminator"]["mapping"].values():
            assert "kind" in told["components"]["schemas"][reference.rpartition("/")[2]]["required"]

    def test_the_page_shows_all_and_fetches_nothing(self, v1_client):
        answer = v1_client.get("docs")
        told = get(v1_client, "openapi.json")
        for path, methods in told["paths"].items():
            assert f"<code>{path}</code>" in answer.text
            for operation in methods.values():
                assert f'id="{operation["operationId"]}"' in answer.text
        for name in told["components"]["schemas"]:
            assert f'id="schema-{name}"' in answer.text
        assert not re.search(r'(src|href)="(https?:)?//', answer.text)
        assert "@import" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        links = re.findall(r'href="#([^"]+)"', answer.text)
        assert links
        assert all(f'id="{link}"' in answer.text for link in links)
