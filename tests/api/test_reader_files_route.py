"""Files of submissions and data sets over HTTP: by id and by name only."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture
def texts(services) -> dict[str, str]:
    services.data_sets.add(SMALL.read_bytes(), "my dätä #1?.json")
    squad = services.data_sets.get(services.data_sets.names()[0])
    return {each.question.id: "x" for each in squad.asked()}


@pytest.fixture
def submission(services, texts) -> int:
    squad = services.data_sets.get(services.data_sets.names()[0])
    predictions = Predictions(texts, dict.fromkeys(texts, 0.5))
    return services.leaderboard.submit(Entry('me/"<ä>/..', "small"), squad, predictions).id


def test_the_files_of_a_submission(client, submission, texts):
    told = {
        file: client.get(f"/submissions/{submission}/{file}")
        for file in ("predictions.json", "na_prob.json", "README.md", "submission.zip")
    }
    for file, answer in told.items():
        assert answer.status_code == 200
        named = f'attachment; filename="me-{submission}-{file}"'
        assert answer.headers["content-disposition"] == named
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert told["predictions.json"].json() == texts
    assert set(told["na_prob.json"].json().values()) == {0.5}
    assert "model-index:" in told["README.md"].text
    packed = zipfile.ZipFile(io.BytesIO(told["submission.zip"].content))
    assert json.loads(packed.read("predictions.json")) == texts


def test_what_is_not_there(client, services, submission, texts):
    assert client.get(f"/submissions/{submission + 1}/predictions.json").status_code == 404
    assert client.get("/submissions/0/README.md").status_code == 422
    assert client.get(f"/submissions/{submission}/secret").status_code == 404
    squad = services.data_sets.get(services.data_sets.names()[0])
    plain = services.leaderboard.submit(Entry("m", "small"), squad, Predictions(texts)).id
    answer = client.get(f"/submissions/{plain}/na_prob.json")
    assert answer.status_code == 404
    assert "has no no-answer probabilities" in answer.json()["detail"]


def test_a_data_set_as_it_is_kept(client, services, texts):
    from urllib.parse import quote

    (name,) = services.data_sets.names()
    answer = client.get(f"/data_sets/{quote(name, safe='')}")
    assert answer.content == SMALL.read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize("name", ["..%2Fserver.lock", "%2e%2e", "nothing", "a" * 400])
def test_no_name_leads_elsewhere(client, texts, name):
    assert client.get(f"/data_sets/{name}").status_code in (404, 422)
