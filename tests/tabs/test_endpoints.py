"""The named endpoints over a real server, as gradio_client calls them."""

import json
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from tiny_readers import TEXT, make_reader

from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.squad import read_squad
from studio.services import build_services
from studio.settings import Settings
from tabs.page import build_app

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    data = tmp_path_factory.mktemp("served")
    make_reader(data / "models" / "readers" / "tiny")
    services = build_services(Settings(data_dir=data, device="cpu", dtype="float32"))
    config = uvicorn.Config(build_app(services), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=data / "down")
    yield client
    client.close()
    server.should_exit = True
    thread.join()
    services.stop()


def answer(client, question="Who built the old bridge?", **more):
    return client.predict(question=question, reader="tiny", api_name="/answer", **more)


def test_only_named_endpoints_are_open(client):
    told = client.view_api(return_format="dict", print_info=False)
    assert set(told["named_endpoints"]) == {"/generate", "/edit", "/answer", "/reader_evaluate"}
    assert told["unnamed_endpoints"] == {}


def test_a_question_is_answered_from_a_text(client):
    told = answer(client, text=TEXT, threshold=1.0)
    first = told["answers"][0]
    assert told["answer"] == first["text"] == TEXT[first["start"] : first["end"]]
    assert 0 < first["probability"] <= told["probability"] <= 1
    assert len(told["answers"]) == 5
    assert answer(client, text=TEXT, threshold=0.0)["answer"] == ""


def test_a_question_is_answered_from_a_file(client, tmp_path):
    (tmp_path / "bridge.md").write_text(f"# The bridge\n\n{TEXT}")
    told = answer(client, file=handle_file(str(tmp_path / "bridge.md")), answers=1)
    assert len(told["answers"]) == 1
    assert told["answers"][0]["text"] in TEXT


def test_what_is_wrong_is_told_in_a_sentence(client):
    with pytest.raises(AppError, match="is empty"):
        answer(client, question=" ", text=TEXT)
    with pytest.raises(AppError, match="empty"):
        answer(client, text="")


def test_no_path_of_the_server_is_read(client, tmp_path):
    """A program may name any path; only what was uploaded here is opened."""
    secret = tmp_path / "secret.txt"
    secret.write_text("The password is old bridge.")
    data = [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}, None, None, None, ""]
    address = f"{client.src}gradio_api/call/reader_evaluate"
    event = httpx.post(address, json={"data": data}).json()["event_id"]
    told = httpx.get(f"{address}/{event}", timeout=60).text
    assert "event: error" in told
    assert "is not SQuAD" not in told, "which would mean that it was read"


def test_a_predictions_file_gets_its_official_scores(client, tmp_path):
    squad = read_squad(SMALL)
    texts = {each.question.id: "" for each in squad.asked()}
    probs = {each.question.id: 0.5 for each in squad.asked()}
    (tmp_path / "p.json").write_text(json.dumps(texts))
    (tmp_path / "n.json").write_text(json.dumps(probs))
    files = {
        "data": handle_file(str(SMALL)),
        "predictions": handle_file(str(tmp_path / "p.json")),
        "na_prob": handle_file(str(tmp_path / "n.json")),
    }
    told = client.predict(**files, api_name="/reader_evaluate")
    assert told == json.loads(json.dumps(scores(squad, Predictions(texts, probs)).official()))


def test_a_reader_is_scored_by_a_job(client):
    told = client.predict(data=handle_file(str(SMALL)), reader="tiny", api_name="/reader_evaluate")
    assert told["total"] == 30
    assert {"exact", "f1", "best_f1", "pr_oracle_ap"} <= set(told)
