"""Which step of a run to use: what its curves and scores say, and how it is put to use."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from studio.errors import NotFound, from_os_error
from studio.store.writing import flush
from studio.training.run_folder import RunFolder
from studio.training.watching.recommendation import Recommendation, Scores, recommended
from studio.training.watching.verdict import Verdict, verdict

EXPORTS = "exports"
"""In a run's folder: what each checkpoint could be used as, where that is small."""


def export_path(run: RunFolder, step: int) -> Path:
    """Where a LoRA or an embedding of a step lies in a run's folder."""
    return run.path / EXPORTS / f"step-{step:08}.safetensors"


def steps_of(run: RunFolder) -> list[int]:
    """The steps that can be put to use, in their order."""
    names = (file.stem.removeprefix("step-") for file in (run.path / EXPORTS).glob("step-*"))
    return sorted(int(name) for name in names if name.isdigit())


def verdict_of(run: RunFolder) -> Verdict:
    """What the curves of a run say in words."""
    points = run.curve()[0]
    held, own = (
        [(each["step"], each[name]) for each in points if name in each]
        for name in ("held_out", "loss")
    )
    return verdict(held, own)


def scores_of(run: RunFolder) -> Mapping[int, Scores]:
    """What was measured on the samples of each step."""
    return {
        step: Scores(
            held_out=told.get("held_out"),
            subject=tuple(told.get("subject", ())),
            prompt=tuple(told.get("prompt", ())),
            copies=int(told.get("copies", 0)),
        )
        for step, told in run.scores().items()
    }


def recommendation_of(run: RunFolder) -> Recommendation | None:
    """The step to use, with the reason why; None when there is none to choose from."""
    steps = [step for step in steps_of(run) if step]
    return recommended(steps, scores_of(run))


def put_to_use(run: RunFolder, step: int, place: Path) -> None:
    """Let a step be what a run has made.

    place: of the run's outcome in the models folder. Raises NotFound when nothing was kept of the
    step, StorageError when the system refuses; then what was there stays.
    """
    source = export_path(run, step)
    if not source.is_file():
        steps = ", ".join(map(str, steps_of(run))) or "none"
        raise NotFound(f"Of step {step} of {run.name} nothing was kept to use; there are: {steps}.")
    aside = place.with_name(f".{place.name}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, aside)
        flush(aside)
        aside.replace(place)
    except OSError as error:
        raise from_os_error(error, f"write {place}") from None
    finally:
        aside.unlink(missing_ok=True)
