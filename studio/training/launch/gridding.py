"""The job that paints a grid of a run's checkpoints, and what completes its request."""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from studio.context import Context
from studio.errors import AtelierError, NotFound, RequestError
from studio.events import Notice
from studio.models.catalogue import Catalogue
from studio.people import Owned
from studio.requests import GenerationRequest, validated
from studio.store.outputs import Picture
from studio.training.checking import Checking
from studio.training.choice import recommendation_of, steps_of
from studio.training.counting import Counted
from studio.training.launch.finding import checkpoint_name, find_run
from studio.training.launch.painting import Paint, Painting, side_of
from studio.training.pictures.crops import cut
from studio.training.run_folder import RunFolder
from studio.training.task import read_task
from studio.training.watching.grid import MadeGrid, made_grids, make_grid
from studio.training_requests import GridRequest, TrainRequest

GRIDS = "grids"
"""In a run's folder."""
_CHECKPOINTS = 5
"""Of a grid that names none."""
_REFERENCES = 32


class Gridding:
    """Grids of the runs of a data folder.

    paint: the studio's own work function. checking: which knows the pictures of a training. owned:
    who is shown which run.
    """

    def __init__(
        self, data: Path, catalogue: Catalogue, paint: Paint, checking: Checking, owned: Owned
    ):
        self._data = data
        self._owned = owned
        self._catalogue = catalogue
        self._paint = paint
        self._checking = checking

    def resolve(self, request: GridRequest) -> GridRequest:
        """The request with nothing left open.

        Raises NotFound for an unknown run or checkpoint, RequestError for a run without LoRA.
        """
        run = find_run(self._data, request.run, self._owned)
        self._owned.demand(run.name)  # for grids are kept in it
        asked = read_task(run.path).request
        steps = steps_of(run)
        if not asked.adds_lora:
            raise RequestError(
                f"The run {run.name} makes no LoRA, and only LoRAs have strengths; look at its "
                "samples instead."
            )
        if not steps:
            raise NotFound(f"The run {run.name} has kept no checkpoint yet; wait for the first.")
        for step in request.checkpoints:
            if step not in steps:
                there = ", ".join(map(str, steps))
                raise NotFound(f"The run {run.name} has no checkpoint {step}; there are: {there}.")
        given = {
            "run": run.name,
            "checkpoints": request.checkpoints or _spread(run, steps),
            "prompts": request.prompts or asked.sample_prompts or (asked.prompt,),
        }
        complete: GridRequest = validated(GridRequest, request.model_dump() | given)
        return complete

    def __call__(self, request: GridRequest, context: Context) -> None:
        """Paint and score what is not there yet; what is painted by a cancellation is kept."""
        run = find_run(self._data, request.run, self._owned)
        asked = read_task(run.path).request
        entry = self._catalogue.usable(asked.model)
        side = side_of(asked, entry)
        counted, count, place = Counted(context.emit, "grid"), request.count, 0
        begun = False

        def on_done(done: int, _count: int) -> None:
            nonlocal place
            context.check()
            place = done
            counted.tell(place, count)

        def paint(step: int, strength: float, prompt: str, seed: int) -> Image.Image:
            nonlocal begun
            if not begun:
                begun = True
                counted.begin(place)  # those before it were there, and took no time
            kept: list[Picture] = []
            text = f"{prompt} <lora:{checkpoint_name(run, step)}:{strength:g}>"
            given = {
                "model": entry.id,
                "prompt": text,
                "seed": seed,
                "width": side,
                "height": side,
                "preview_every": 0,
            }
            painting = Painting(
                context, kept.append, lambda share: counted.tell(place, count, share)
            )
            self._paint(validated(GenerationRequest, given), painting)
            with Image.open(io.BytesIO(kept[0].data)) as image:
                return image.convert("RGB")

        score = self._scorer(asked, context)
        make_grid(request, run.path / GRIDS, paint, score, on_done)

    def made(self, name: str) -> list[MadeGrid]:
        """The grids of a run, the newest first; NotFound when there is no such run."""
        return made_grids(find_run(self._data, name, self._owned).path / GRIDS)

    def _scorer(
        self, asked: TrainRequest, context: Context
    ) -> Callable[[Image.Image, str], dict[str, float | None]] | None:
        """Scores by the best judge that is here; None when the pictures are gone."""
        try:
            placed = self._checking.placed(asked)[:_REFERENCES]
            references = [cut(each) for each in placed]
        except AtelierError as error:
            context.emit(Notice(text=f"The grid is not scored: {error}"))
            return None
        from studio.training.watching.judge import installed

        judge, word = installed(self._data)[0], (asked.trigger or asked.prompt).casefold()

        def score(image: Image.Image, prompt: str) -> dict[str, float | None]:
            shows = word in prompt.casefold()
            return {
                "subject": judge.subject([image], references)[0] if shows else None,
                "prompt": judge.prompt([image], [prompt])[0],
            }

        return score


def _spread(run: RunFolder, steps: list[int]) -> tuple[int, ...]:
    """Checkpoints from the first to the last, the recommended one among them."""
    trained = [step for step in steps if step] or steps
    last = len(trained) - 1
    places = {round(last * i / (_CHECKPOINTS - 1)) for i in range(_CHECKPOINTS)}
    chosen = {trained[place] for place in places}
    best = recommendation_of(run)
    return tuple(sorted(chosen | ({best.step} if best is not None else set())))
