"""Pictures of the class: made by the model itself, once, and gone on with where one was stopped."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from train_runs import followed, only_run, request

from studio.context import Signal
from studio.errors import Cancelled
from studio.events import Event, Finished, Notice, Progress
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest
from studio.store.outputs import Picture
from studio.training.launch.class_pictures import ClassPictures, Recipe
from studio.training.task import read_task

CLASS = {"preservation": True, "class_prompt": "a photo of a dog", "class_pictures": 7}


class Painter:
    """Paints plain pictures in no time and notes what it was asked; stops after so many."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.prompts: list[str] = []
        self.left = 1000

    def __call__(self, asked: GenerationRequest, context) -> None:
        self.asked.append((asked.seed, asked.image_count))
        self.prompts.append(asked.prompt)
        for seed in range(asked.seed, asked.seed + asked.image_count):
            context.emit(Progress(step=1, steps=2, item=1, items=1))
            context.check()
            if not self.left:
                raise Cancelled
            self.left -= 1
            stream = io.BytesIO()
            Image.new("RGB", (asked.width, asked.height), (seed, 0, 0)).save(stream, "PNG")
            size = (asked.width, asked.height)
            context.save(
                Picture(stream.getvalue(), ".png", *size, seed, "", asked.prompt, "", "", "", b"")
            )


class Listener:
    job_id = "job"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def check(self) -> Signal:
        return Signal.GO_ON


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def pictures(tmp_path: Path, painter: Painter) -> ClassPictures:
    return ClassPictures(tmp_path / "cache", Catalogue(tmp_path / "models"), painter)


def made(pictures: ClassPictures, context=None, on_step=lambda there: None, **changes) -> Path:
    asked = request(**{**CLASS, **changes})
    recipe = pictures.recipe(asked, lambda: None)
    return pictures.make(asked, recipe, context or Listener(), on_step)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def test_they_are_made_once_and_used_again(pictures, painter):
    told: list[int] = []
    listener = Listener()
    folder = made(pictures, listener, told.append)
    assert files(folder) == [f"{number:04}.png" for number in range(7)]
    assert painter.asked == [(0, 7)]
    assert told[-1] == 7
    steps = [event for event in listener.events if isinstance(event, Progress)]
    assert {(event.steps, event.label, event.unit) for event in steps} == {
        (7, "class pictures", "picture")
    }
    assert steps[-1].step == 7
    assert steps[-1].seconds_left == 0
    assert made(pictures) == folder
    assert made(pictures, class_pictures=4, name="another", rank=2) == folder
    assert len(painter.asked) == 1
    made(pictures, class_pictures=9)
    assert painter.asked[-1] == (7, 2)
    with Image.open(folder / "0008.png") as image:
        assert image.getpixel((0, 0)) == (8, 0, 0), "each has its number as its seed"
    assert (folder / "manifest.json").is_file()


def test_others_are_kept_apart(pictures):
    folder = made(pictures)
    assert made(pictures, class_prompt="a photo of a cat") != folder
    assert made(pictures, resolution=64) != folder
    pixels = set()
    for place in (folder, made(pictures, resolution=64)):
        with Image.open(place / "0000.png") as image:
            pixels.add(image.size)
    assert (64, 64) in pixels
    assert len(pixels) == 2


def test_the_prompts_of_a_class_take_turns(pictures, painter):
    listener = Listener()
    made(pictures, listener, class_prompt="a dog\n\n  a cat \na hat\n", class_pictures=5)
    assert painter.prompts == ["a dog", "a cat", "a hat", "a dog", "a cat"]
    assert painter.asked == [(number, 1) for number in range(5)]


def test_one_that_is_stopped_goes_on_where_it_was(pictures, painter):
    painter.left = 3
    with pytest.raises(Cancelled):
        made(pictures)
    listener = Listener()
    painter.left = 1000
    folder = made(pictures, listener)
    assert painter.asked[-1] == (3, 4)
    assert len(files(folder)) == 7
    [notice] = [event for event in listener.events if isinstance(event, Notice)]
    assert notice.text.startswith("3 of 7")


def test_what_is_damaged_is_made_again(pictures, painter):
    folder = made(pictures)
    whole = (folder / "0002.png").read_bytes()
    (folder / "0002.png").write_bytes(whole[: len(whole) // 2])
    (folder / "0005.png").unlink()
    made(pictures)
    assert painter.asked[1:] == [(2, 1), (5, 1)]
    assert (folder / "0002.png").read_bytes() == whole


def test_two_trainings_do_not_make_them_at_once(pictures, painter, tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    def slow(asked, context) -> None:
        inside.set()
        go_on.wait(10)
        painter(asked, context)

    first = ClassPictures(tmp_path / "cache", Catalogue(tmp_path / "models"), slow)
    thread = threading.Thread(target=made, args=(first,))
    thread.start()
    inside.wait(10)
    with pytest.raises(Exception, match="by another training"):
        made(pictures)
    go_on.set()
    thread.join()


def test_a_recipe_is_named_by_all_that_it_says():
    one = Recipe("ab", ("a dog",), 64, "Euler", 20, 7.0)
    changes: list[Callable[[], Recipe]] = [
        lambda: Recipe("ac", ("a dog",), 64, "Euler", 20, 7.0),
        lambda: Recipe("ab", ("a cat",), 64, "Euler", 20, 7.0),
        lambda: Recipe("ab", ("a dog", "a cat"), 64, "Euler", 20, 7.0),
        lambda: Recipe("ab", ("a dog",), 64, "Euler", 20, 7.5),
    ]
    assert len({one.name, *(change().name for change in changes)}) == 5
    assert Recipe("ab", ("a dog",), 64, "Euler", 20, 7.0).name == one.name


@pytest.mark.slow
def test_the_studios_own_engine_makes_them(served):
    served.trainer.start()
    wanted = request(**{**CLASS, "class_pictures": 2, "resolution": 64}, method="dreambooth")
    job = served.queue.submit(wanted)
    events = followed(served, job)
    assert isinstance(events[-1], Finished), events[-1]
    assert events[-1].outputs == (), "they are nobody's pictures"
    task = read_task(only_run(served.settings.data_dir).path)
    assert files(task.class_pictures) == ["0000.png", "0001.png"]
    with Image.open(task.class_pictures / "0000.png") as image:
        assert image.size == (64, 64)
    assert any(isinstance(e, Progress) and e.label == "class pictures" for e in events)
    assert served.engine.models.held() == [], "the model has left for the run"
