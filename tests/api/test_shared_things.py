"""What is somebody's until they share it, and then used by all but changed by nobody else."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sample_pictures import png

from studio.api import training_files
from studio.api.sdapi.options import Options
from studio.api.sdapi.styles import Styles
from studio.errors import DataError, Forbidden, NotFound, RequestError
from studio.people import EVERYBODY, HOME, Person, Role, acting_as
from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions
from studio.services import Services
from studio.store.preferences import Style, StyleTable
from studio.training.pictures.listing import describe, find_pictures
from studio.training.pictures.sets import PictureSets

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
VI = Person(4, "vi", Role.VIEWER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)
SQUAD = (
    '{{"version": "v2.0", "data": [{{"title": "T", "paragraphs": [{{"context": "In {0}.", "qas": '
    '[{{"id": "q1", "question": "When?", "is_impossible": false, '
    '"answers": [{{"text": "{0}", "answer_start": 3}}]}}]}}]}}]}}'
)


@pytest.fixture
def cats(services: Services) -> PictureSets:
    """Ada's picture set."""
    with acting_as(ADA):
        services.picture_sets.create("cats")
        services.picture_sets.add("cats", [("a.png", png(64, 64))])
    return services.picture_sets


@pytest.fixture
def scored(services: Services) -> int:
    """Ada's evaluation on a data set of hers."""
    with acting_as(ADA):
        name = services.data_sets.add(SQUAD.format("1931").encode(), "years.json")
        squad = services.data_sets.get(name)
        kept = services.leaderboard.submit(
            Entry("r", "years", who="ada"), squad, Predictions({"q1": "1931"})
        )
    return kept.id


def share(services: Services, kind: str, item: object, shared: bool = True) -> None:
    with acting_as(ADA):
        services.rights.share(kind, str(item), shared)


def test_a_shared_picture_set_is_looked_at_and_not_changed(services, cats):
    change = (
        lambda: cats.add("cats", [("b.png", png(65, 64))]),
        lambda: cats.remove("cats"),
        lambda: cats.own("cats"),
        lambda: services.checking.take_back("cats"),
        lambda: services.rights.share("picture set", "cats", False),
    )
    with acting_as(BOB):
        assert (cats.names(), cats.shows("cats"), cats.is_taken("cats")) == ([], False, True)
        with pytest.raises(NotFound):
            cats.path("cats")
    share(services, "picture set", "cats")
    with acting_as(BOB):
        assert cats.summary("cats").pictures == 1
        assert not services.rights.get("picture set", "cats").may_share
        for each in change:
            with pytest.raises(Forbidden):
                each()
    share(services, "picture set", "cats", False)
    with acting_as(BOB), pytest.raises(NotFound):
        cats.path("cats")
    with acting_as(ROOT):
        assert cats.own("cats").name == "cats"


def test_a_picture_is_not_handed_out_because_its_owner_has_just_seen_it(services, cats):
    """What is remembered of a set was looked up for whoever asked first."""
    app = FastAPI()
    app.include_router(training_files.build_router(services))
    with acting_as(ADA):
        folder = cats.path("cats")
        [found] = find_pictures(folder)
        digest = describe(folder, [found])[found.name].sha256
    for person, status in ((ADA, 200), (BOB, 404)):
        with acting_as(person), TestClient(app) as client:
            assert client.get(f"/picture_sets/cats/{digest}/small").status_code == status


def test_evaluations_are_ones_own_until_they_are_shared(services, scored):
    board = services.leaderboard
    with acting_as(BOB):
        assert (board.ranked("years"), board.data_sets(), board.of_job("x")) == ((), (), None)
        with pytest.raises(NotFound):
            board.get(scored)
        with pytest.raises(NotFound):
            board.predictions(scored)
    share(services, "submission", scored)
    with acting_as(BOB):
        assert [line.who for line in map(_row, board.ranked("years")) if line] == ["ada"]
        with pytest.raises(Forbidden):
            board.delete(scored)
    with acting_as(ADA):
        board.delete(scored)
        assert board.data_sets() == ()


def _row(line):
    return line.submission


def test_a_name_means_one_file_whoever_has_evaluated_on_it(services, scored):
    with acting_as(BOB):
        name = services.data_sets.add(SQUAD.format("1932").encode(), "years.json")
        squad, made = services.data_sets.get(name), Predictions({"q1": "1932"})
        with pytest.raises(DataError, match="Somebody else calls another data set years"):
            services.leaderboard.submit(Entry("r", "years"), squad, made)
        free = services.leaderboard.free_name("years", squad)
        assert free.startswith("years (")
        services.leaderboard.submit(Entry("r", free), squad, made)


def test_what_was_evaluated_without_accounts_is_everybodys(services):
    with acting_as(HOME):
        name = services.data_sets.add(SQUAD.format("1933").encode(), "old.json")
        squad = services.data_sets.get(name)
        services.leaderboard.submit(Entry("r", "old"), squad, Predictions({"q1": "1933"}))
    with acting_as(VI):
        assert len(services.leaderboard.data_sets()) == 1


def test_a_data_set_is_shared(services, scored):
    with acting_as(BOB):
        assert services.data_sets.names() == []
    share(services, "data set", "years")
    with acting_as(BOB):
        assert services.data_sets.names() == ["years"]
        with pytest.raises(Forbidden):
            services.data_sets.remove("years")
    with acting_as(ROOT), pytest.raises(RequestError, match="cannot be limited"):
        services.rights.limit("data set", "years", [BOB.id])


def test_viewers_share_nothing_even_of_their_own(services, cats):
    viewer = Person(ADA.id, "ada", Role.VIEWER)
    with acting_as(viewer):
        assert not services.rights.get("picture set", "cats").may_share
        with pytest.raises(Forbidden):
            services.rights.share("picture set", "cats", True)


def test_options_of_a_member_are_theirs_alone(services: Services, embedded_id: str):
    options = Options(services)
    with acting_as(ROOT):
        options.set({"samples_format": "jpg"})
    with acting_as(ADA):
        options.set({"CLIP_stop_at_last_layers": 3, "sd_model_checkpoint": embedded_id})
        assert options.in_force({}).chosen.CLIP_stop_at_last_layers == 3
        assert options.in_force({}).model.id == embedded_id
    with acting_as(BOB):
        told = options.all()
        assert (told["CLIP_stop_at_last_layers"], told["samples_format"]) == (1, "jpg")
    with acting_as(ROOT):
        options.set({"samples_format": "webp", "CLIP_stop_at_last_layers": 2})
    with acting_as(ADA):  # what she has set herself goes over what holds for all
        told = Options(services).all()
        assert (told["CLIP_stop_at_last_layers"], told["samples_format"]) == (3, "webp")
    with acting_as(VI), pytest.raises(Forbidden):
        options.set({"samples_format": "png"})


def test_a_model_that_one_may_use_no_more_is_chosen_no_more(services: Services, embedded_id: str):
    options = Options(services)
    with acting_as(ADA):
        options.set({"sd_model_checkpoint": embedded_id})
    with acting_as(ROOT):
        services.rights.limit("model", embedded_id, [BOB.id])
    with acting_as(ADA):
        assert options._chosen_model({"sd_model_checkpoint": embedded_id}) is None


@pytest.fixture
def styles(services: Services) -> Styles:
    folder: Path = services.settings.data_dir
    (folder / "styles.csv").write_text("name,prompt,negative_prompt\nfilm,on film,\n")
    return Styles(folder, StyleTable(services.database))


def test_styles_are_everybodys_or_ones_own(services, styles):
    table = StyleTable(services.database)
    with acting_as(ADA):
        table.keep(Style("film", "on old film", own=True))
        table.keep(Style("mine", "{prompt}, mine", own=True))
        with pytest.raises(Forbidden):
            table.keep(Style("all", "for all"))
        with pytest.raises(Forbidden):
            table.remove("film", own=False)
        assert styles.applied(["film", "mine"], "a cat", "") == ("a cat, on old film, mine", "")
    with acting_as(ROOT):
        table.keep(Style("all", "for all"))
    with acting_as(BOB):
        assert {name: each.own for name, each in styles.all().items()} == {
            "film": False,
            "all": False,
        }
        with pytest.raises(NotFound):
            table.remove("mine", own=True)
        with pytest.raises(RequestError, match="film, all"):
            styles.applied(["mine"], "a cat", "")
    with acting_as(ADA):
        table.remove("film", own=True)
        assert styles.all()["film"].prompt == "on film"


def test_styles_over_the_api(v1_client):
    with acting_as(ADA):
        kept = v1_client.post("styles", json={"name": "a/b", "prompt": "x"})
        assert (kept.status_code, kept.json()["own"]) == (200, True)
        refused = v1_client.post("styles", json={"name": "y", "everybody": True})
        assert refused.status_code == 403
        assert [each["name"] for each in v1_client.get("styles").json()["styles"]] == ["a/b"]
    with acting_as(BOB):
        assert v1_client.get("styles").json()["styles"] == []
    with acting_as(VI):
        assert v1_client.post("styles", json={"name": "z"}).status_code == 403
    with acting_as(ADA):
        gone = [v1_client.delete("styles", params={"name": "a/b"}).status_code for _ in range(2)]
        assert gone == [204, 404]


def test_pages_are_built_of_what_everybody_may_know(services, cats, scored):
    share(services, "data set", "years")
    with acting_as(EVERYBODY):
        assert services.picture_sets.names() == []
        assert services.data_sets.names() == ["years"]
        assert services.catalogue.entries()


@pytest.mark.parametrize("repo", ["/etc/x", "../x/y", "pictures/../x", "C:\\x/y", "file:///etc"])
def test_no_request_names_a_folder_of_the_server(v1_client, repo):
    sent = {"kind": "fetch-pictures", "repo": repo}
    with acting_as(ADA):
        assert v1_client.post("jobs", json=sent).status_code == 422
