"""Files of trainings over HTTP: by names and sums that are looked up, never by a client's path."""

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from studio.services import Services
from studio.training.pictures.listing import describe, find_pictures
from studio.training.run_folder import RunFolder
from studio.training.task import Task
from studio.training.toml_files import read_toml
from studio.training.watching.grid import make_grid
from studio.training_requests import GridRequest, TrainRequest
from tabs.page import build_app


@pytest.fixture
def client(services: Services) -> TestClient:
    return TestClient(build_app(services))


@pytest.fixture
def picture(services, tmp_path):
    """The sum of a picture of the set "my dogs"."""
    file = tmp_path / "a.png"
    Image.new("RGB", (900, 300), "red").save(file)
    services.picture_sets.create("my dogs")
    services.picture_sets.add("my dogs", [("a.png", file)])
    folder = services.picture_sets.path("my dogs")
    return describe(folder, find_pictures(folder))["a.png"].sha256


def image(answer):
    import io

    return Image.open(io.BytesIO(answer.content))


def test_pictures_come_small_and_are_kept_by_the_browser(client, picture):
    answer = client.get(f"/picture_sets/my%20dogs/{picture}/small")
    assert answer.status_code == 200
    assert image(answer).size == (256, 85)
    assert "immutable" in answer.headers["cache-control"]
    assert image(client.get(f"/picture_sets/my%20dogs/{picture}/large")).size == (900, 300)


def test_a_cut_is_shown_anew_each_time(client, picture):
    answer = client.get(f"/picture_sets/my%20dogs/{picture}/cut/shown")
    assert image(answer).size == (720, 240)
    assert "no-cache" in answer.headers["cache-control"]
    wrong = client.get(f"/picture_sets/my%20dogs/{picture}/cut/shown?model=none")
    assert wrong.status_code in (404, 500)


def test_a_picture_that_is_another_one_by_now_is_not_served_under_its_old_sum(
    services, client, picture
):
    assert client.get(f"/picture_sets/my%20dogs/{picture}/small").status_code == 200
    Image.new("RGB", (30, 30), "blue").save(services.picture_sets.path("my dogs") / "a.png")
    assert client.get(f"/picture_sets/my%20dogs/{picture}/small").status_code == 404


def test_nothing_is_found_by_a_path(client, picture, settings):
    settings.data_dir.joinpath("secret.toml").write_text("secret")
    for place in (
        f"/picture_sets/..%2Fmodels/{picture}/small",
        f"/picture_sets/none/{picture}/small",
        "/picture_sets/my%20dogs/..%2F..%2Fsecret.toml/small",
        f"/picture_sets/my%20dogs/{'0' * 64}/small",
        "/runs/..%2F../settings.toml",
        "/runs/..%2F../samples/1/0",
        "/runs/none/samples/-1/0",
        "/runs/none/grids/0123456789abcdef",
        "/runs/..%2F../grids/..%2F../0",
    ):
        assert client.get(place).status_code in (404, 422), place


def test_samples_and_settings_of_a_run(client, settings):
    run = RunFolder(settings.data_dir / "runs" / "rex-1")
    asked = TrainRequest(name="rex", pictures="my dogs", steps=7)
    Task(request=asked, data=settings.data_dir, pictures=settings.data_dir).write(run.path)
    place = run.sample_path(5, 0)
    place.parent.mkdir()
    place.write_bytes(b"RIFF....WEBP")
    assert client.get("/runs/rex-1/samples/5/0").content == b"RIFF....WEBP"
    assert client.get("/runs/rex-1/samples/5/1").status_code == 404
    answer = client.get("/runs/rex-1/settings.toml")
    assert read_toml(answer.text)["steps"] == 7
    assert "attachment" in answer.headers["content-disposition"]


def test_grids_of_a_run_whole_and_by_their_pictures(client, settings):
    run = RunFolder(settings.data_dir / "runs" / "rex-2")
    asked = TrainRequest(name="rex", pictures="my dogs", steps=7)
    Task(request=asked, data=settings.data_dir, pictures=settings.data_dir).write(run.path)
    wanted = GridRequest(run="rex-2", checkpoints=(2, 4), strengths=(1.0,), prompts=("a",))
    made = make_grid(
        wanted, run.path / "grids", lambda step, *_: Image.new("RGB", (20, 20), (step, 0, 0))
    )
    place = f"/runs/rex-2/grids/{made.digest}"
    whole = client.get(place)
    assert image(whole).width > 256
    assert "grid.webp" in whole.headers["content-disposition"]
    assert [image(client.get(f"{place}/{n}")).getpixel((5, 5))[0] for n in (0, 1)] == [2, 4]
    assert client.get(f"{place}/2").status_code == 404
    assert client.get(f"/runs/rex-2/grids/{'0' * 16}").status_code == 404
