"""What a fine-tuning run is asked to do: one frozen record, kept as options.json in its folder."""

from pathlib import Path

from pydantic import Field, ValidationError

from studio.errors import DataError, from_os_error
from studio.reader_requests import Recipe

FILE_NAME = "options.json"


class Options(Recipe):
    """A run: its model, its data, and how it is done.

    base: folder or hub id of an encoder or of a reader. train, dev: SQuAD files. teachers: folders
    of readers. cache: folder of tokenised data, by default in the run's own. save_minutes: between
    checkpoints. report_every: steps between reports. threads: of torch, 0 for its own choice.
    max_minutes: until the run stops as if it were told to, 0 for never.
    """

    base: str
    train: Path
    dev: Path | None = None
    teachers: tuple[Path, ...] = ()
    cache: Path | None = None
    save_minutes: float = Field(10.0, ge=0)
    report_every: int = Field(20, ge=1)
    max_minutes: float = Field(0.0, ge=0)
    threads: int = Field(0, ge=0)

    def write(self, run: Path) -> None:
        """Keep them in the run's folder, which is made."""
        try:
            run.mkdir(parents=True, exist_ok=True)
            aside = run / (FILE_NAME + ".part")
            aside.write_text(self.model_dump_json(indent=2), encoding="utf-8")
            aside.replace(run / FILE_NAME)
        except OSError as error:
            raise from_os_error(error, f"write {run / FILE_NAME}") from None


def read_options(run: Path) -> Options:
    """The options of a run's folder; DataError when there are none that can be read."""
    path = run / FILE_NAME
    try:
        return Options.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); name the folder of a run."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its JSON"
        raise DataError(f"{path} cannot be used: {where}: {first['msg']}.") from None
