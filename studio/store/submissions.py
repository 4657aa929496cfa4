"""Scored evaluations: a row each, and its predictions under submissions/<id>/.

The folder is named by the row's id and the files by this module, so no path comes from a client.
"""

import gzip
import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text

from studio.errors import NotFound, StorageError, from_os_error
from studio.store.belongings import Belongings, Sort
from studio.store.database import Database, repeated

PREDICTIONS = "predictions.json.gz"
NA_PROBS = "na_probs.json.gz"


@dataclass(frozen=True)
class NewSubmission:
    """An evaluation as it is handed over for keeping.

    revision: hash of the weights, "" where it is not known. data_set_sha256: of the file, unpacked.
    scores: by the official keys. na_prob: what the no-answer probabilities are worth, in a word.
    """

    who: str
    model: str
    revision: str
    data_set: str
    data_set_sha256: str
    questions: int
    scores: Mapping[str, float]
    settings: Mapping[str, Any]
    seconds: float
    device: str
    na_prob: str
    predictions: Mapping[str, str]
    na_probs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class SubmissionRow:
    """A kept evaluation; created_at in seconds since 1970, exact and f1 in percent."""

    id: int
    created_at: float
    who: str
    model: str
    revision: str
    data_set: str
    data_set_sha256: str
    questions: int
    exact: float
    f1: float
    scores: dict[str, float]
    settings: dict[str, Any]
    seconds: float
    device: str
    na_prob: str


@dataclass(frozen=True)
class DataSetRow:
    """A data set that something was evaluated on."""

    name: str
    sha256: str
    questions: int
    submissions: int


class SubmissionTable:
    """All evaluations of a data folder; those of others, as `Things` says, are not there."""

    def __init__(self, database: Database, folder: Path):
        self._database = database
        self._folder = folder / "submissions"
        self._owned = Belongings(database).of(Sort.SUBMISSION)

    @repeated
    def save(self, new: NewSubmission) -> int:
        """Write the files and the row and return the row's id; all or nothing.

        Raises StorageError when the disk is full or refuses.
        """
        fields = {
            "created_at": time.time(),
            "who": new.who,
            "model": new.model,
            "revision": new.revision,
            "data_set": new.data_set,
            "data_set_sha256": new.data_set_sha256,
            "questions": new.questions,
            "exact": new.scores["exact"],
            "f1": new.scores["f1"],
            "scores": json.dumps(dict(new.scores), allow_nan=False),
            "settings": json.dumps(dict(new.settings)),
            "seconds": new.seconds,
            "device": new.device,
            "na_prob": new.na_prob,
        }
        columns = ", ".join(fields)
        values = ", ".join(f":{name}" for name in fields)
        try:
            aside = self._written_aside(new)
            try:
                with self._database.write() as db:
                    row = db.execute(
                        text(f"INSERT INTO submissions ({columns}) VALUES ({values}) RETURNING id"),
                        fields,
                    ).one()
                    self._owned.keep_in(db, str(row.id))
                    target = self._of(row.id)
                    # A row that was not committed leaves its folder; nobody else has this id.
                    shutil.rmtree(target, ignore_errors=True)
                    aside.rename(target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise from_os_error(error, f"keep the submission in {self._folder}") from error
        return int(row.id)

    @repeated
    def get(self, submission_id: int) -> SubmissionRow:
        """The submission of this id, or NotFound."""
        with self._database.read() as db:
            row = db.execute(
                text("SELECT * FROM submissions WHERE id = :id"), {"id": submission_id}
            ).first()
        if row is None or not self._owned.shows(str(submission_id)):
            raise NotFound(f"There is no submission {submission_id}; it may have been deleted.")
        return _read(row)

    @repeated
    def listed(self, data_set: str = "") -> tuple[SubmissionRow, ...]:
        """Best first by f1, then by exact, the older first among equals; "" for all data sets."""
        where = "WHERE data_set = :data_set" if data_set else ""
        with self._database.read() as db:
            rows = db.execute(
                text(f"SELECT * FROM submissions {where} ORDER BY f1 DESC, exact DESC, id"),
                {"data_set": data_set} if data_set else {},
            )
            found = [_read(row) for row in rows]
        shown = self._owned.shown(str(row.id) for row in found)
        return tuple(row for row in found if str(row.id) in shown)

    def data_sets(self) -> tuple[DataSetRow, ...]:
        """What was evaluated on, by name."""
        found: dict[tuple[str, str], list[SubmissionRow]] = {}
        for row in sorted(self.listed(), key=lambda row: row.id):
            found.setdefault((row.data_set, row.data_set_sha256), []).append(row)
        counted = [
            DataSetRow(*key, max(row.questions for row in rows), len(rows))
            for key, rows in found.items()
        ]
        return tuple(sorted(counted, key=lambda each: each.name))

    @repeated
    def meant(self, data_set: str) -> str:
        """sha256 of the file that a name was first used for, by whomsoever; "" for a free one."""
        with self._database.read() as db:
            found = db.execute(
                text(
                    "SELECT data_set_sha256 FROM submissions WHERE data_set = :data_set"
                    " ORDER BY id LIMIT 1"
                ),
                {"data_set": data_set},
            ).scalar()
        return str(found or "")

    def predictions(self, submission_id: int) -> dict[str, str]:
        """The text for each question id; NotFound when somebody removed the file."""
        self.get(submission_id)
        return self._file(submission_id, PREDICTIONS)

    def na_probs(self, submission_id: int) -> dict[str, float] | None:
        """The no-answer probabilities in the order they came in, None where there are none."""
        if self.get(submission_id).na_prob == "none":
            return None
        return self._file(submission_id, NA_PROBS)

    def delete(self, submission_id: int) -> None:
        """Delete a submission with its files, for ever."""
        self.get(submission_id)
        self._owned.demand(str(submission_id))
        folder = self._of(submission_id)
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise from_os_error(error, f"delete submission {submission_id}") from error
        with self._database.write() as db:
            db.execute(text("DELETE FROM submissions WHERE id = :id"), {"id": submission_id})
        self._owned.forget(str(submission_id))

    def _of(self, submission_id: int) -> Path:
        return self._folder / str(int(submission_id))

    def _written_aside(self, new: NewSubmission) -> Path:
        """A folder with the files that becomes the submission's own by one rename."""
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            aside.chmod(0o755)
            (aside / PREDICTIONS).write_bytes(_packed(new.predictions))
            if new.na_probs is not None:
                (aside / NA_PROBS).write_bytes(_packed(new.na_probs))
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return aside

    def _file(self, submission_id: int, name: str) -> dict[str, Any]:
        path = self._of(submission_id) / name
        try:
            return json.loads(gzip.decompress(path.read_bytes()))
        except FileNotFoundError:
            raise NotFound(
                f"The file {name} of submission {submission_id} is gone; evaluate again."
            ) from None
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise StorageError(
                f"The file {path} is damaged ({error}); delete the submission and evaluate again."
            ) from error


def _packed(value: Mapping[str, Any]) -> bytes:
    # Without a time stamp the same predictions are the same bytes.
    return gzip.compress(json.dumps(dict(value), allow_nan=False).encode(), mtime=0)


def _read(row: Row) -> SubmissionRow:
    fields = dict(row._mapping)
    fields["scores"] = json.loads(row.scores)
    fields["settings"] = json.loads(row.settings)
    return SubmissionRow(**fields)
