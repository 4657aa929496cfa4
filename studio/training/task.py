"""What the program of a run is told: the request with nothing left open, and where all lies."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.errors import DataError, first_words, from_os_error
from studio.training.run_folder import TASK
from studio.training_requests import TrainRequest


class Task(BaseModel):
    """A run's task, written once when it is made.

    data: the data folder, with its models. pictures: the picture set's folder. class_pictures: a
    folder of pictures of the class, None without preservation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: TrainRequest
    data: Path
    pictures: Path
    class_pictures: Path | None = None

    def write(self, folder: Path) -> None:
        """Put it into a run's folder; StorageError when the system refuses."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f"{TASK}.part"
            aside.write_text(self.model_dump_json(indent=2), encoding="utf-8")
            aside.replace(folder / TASK)
        except OSError as error:
            raise from_os_error(error, f"begin a run in {folder}") from None


def read_task(folder: Path) -> Task:
    """The task of a run's folder; DataError when there is none that can be read."""
    try:
        return Task.model_validate_json((folder / TASK).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        first = first_words(error)
        raise DataError(
            f"The run in {folder} has no task that can be read ({first}); begin it again."
        ) from None
