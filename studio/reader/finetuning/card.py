"""The README.md of a reader that was made here."""

from dataclasses import dataclass

from studio.reader.finetuning.options import Options
from studio.reader.submission_files import model_card
from studio.reader_requests import Recipe
from studio.store.submissions import SubmissionRow


@dataclass(frozen=True)
class Made:
    """What a finished run tells of its model; see `loop.Facts`. step: at which it was kept."""

    step: int
    steps: int
    train_sha256: str
    dev_sha256: str
    questions: int
    answerable: int
    held_out: int


def card(
    name: str, base: str, train: str, made: Made, options: Options, row: SubmissionRow | None
) -> str:
    """The card: scores, where there are some, then data and recipe.

    base: as people know it. train: name of the data set. row: the reader's own submission.
    """
    if row is None:
        head = (
            f"---\npipeline_tag: question-answering\nlibrary_name: transformers\n---\n\n# {name}\n"
        )
    else:
        head = model_card(row)
    facts = {
        "made from": base,
        "learnt from": f"{train}, sha256 of the unpacked file {made.train_sha256}",
        "questions": f"{made.questions:,}, of which {made.answerable:,} have an answer",
        "held out for calibration": f"{made.held_out:,} questions",
        "chosen by": f"scores on a file with sha256 {made.dev_sha256}" if made.dev_sha256 else "",
        "step": f"{made.step:,} of {made.steps:,}",
    }
    facts = {key: value for key, value in facts.items() if value}
    recipe = {
        field.replace("_", " "): str(getattr(options, field))
        for field in Recipe.model_fields
        if getattr(options, field) is not None
    }
    return "\n".join(
        [
            head,
            "## How it was made",
            "",
            "Fine-tuned by `atelier finetune-reader`.",
            "",
            *_table(facts),
            "",
            "Recipe:",
            "",
            *_table(recipe),
            "",
        ]
    )


def _table(rows: dict[str, str]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
