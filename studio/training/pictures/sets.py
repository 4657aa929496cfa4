"""The picture sets of a data folder: a folder each below pictures/, whoever put it there."""

import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from studio.errors import DataError, NotFound, RequestError, from_os_error
from studio.people import EVERYBODYS, Deed, Owned, needs
from studio.store.writing import ASIDE, replace_file
from studio.training.pictures.captions import written
from studio.training.pictures.listing import Found, find_pictures
from studio.training.pictures.tables import TableWish, rows
from studio.training.pictures.taking_in import (
    Gathered,
    TakenIn,
    content_of,
    gather_data_file,
    gather_folder,
    write_set,
)
from studio.training.pictures.uploads import MOST_PICTURES, Added, Adding, safe_name
from studio.training_requests import SetName

_NAME: TypeAdapter[str] = TypeAdapter(SetName)
_TRASH = ".trash"
_LONGEST = 80
_STALE = 2 * 86400.0
"""Seconds after which nobody fills a folder any more."""


@dataclass(frozen=True)
class SetSummary:
    """A set for a list. captioned: pictures with a caption of their own. bytes: of pictures.

    first: a picture to show it by, None for an empty one. problem: why it cannot be used, or "".
    """

    name: str
    pictures: int = 0
    captioned: int = 0
    bytes: int = 0
    first: Found | None = None
    problem: str = ""


class PictureSets:
    """All picture sets of a data folder; looked up afresh, so that a new folder is seen at once.

    owned: whose they are; those of others are not there, but their names are taken. admit: raises
    for who may keep no more files.
    """

    def __init__(
        self, data: Path, owned: Owned = EVERYBODYS, admit: Callable[[], None] = lambda: None
    ):
        self._admit = admit
        self.folder = data / "pictures"
        self._owned = owned
        # Two uploads at once would not know of each other's names.
        self._changing = threading.Lock()

    def names(self) -> list[str]:
        """All of them, by name."""
        return sorted((name for name in self._shown() if _is_name(name)), key=str.casefold)

    def misnamed(self) -> list[str]:
        """Folders that somebody put there under a name that no request can say."""
        return sorted(name for name in self._shown() if not _is_name(name))

    def path(self, name: str) -> Path:
        """The folder of a set; NotFound when there is none."""
        found = self._shown().get(unicodedata.normalize("NFC", name))
        if found is None or not _is_name(name):
            names = ", ".join(self.names()[:20]) or "none yet"
            raise NotFound(f"There is no picture set {name[:100]!r}; there are: {names}.")
        return found

    def own(self, name: str) -> Path:
        """The folder of a set that who is at work may change; Forbidden for one shared by others.

        Raises NotFound when there is none.
        """
        folder = self.path(name)
        self._owned.demand(unicodedata.normalize("NFC", name))
        return folder

    def shows(self, name: str) -> bool:
        """Whether who is at work is shown a set of this name."""
        return self._owned.shows(unicodedata.normalize("NFC", name))

    def is_taken(self, name: str) -> bool:
        """Whether somebody has a set of this name."""
        return name.casefold() in {each.casefold() for each in self._folders()}

    def summary(self, name: str) -> SetSummary:
        """What a set holds, from its files' names alone; NotFound when there is none."""
        folder = self.path(name)
        try:
            found = find_pictures(folder)
        except DataError as error:
            return SetSummary(name, problem=str(error))
        return SetSummary(
            name,
            len(found),
            sum(map(bool, written(folder, [each.name for each in found]).values())),
            sum(each.bytes for each in found),
            found[0] if found else None,
        )

    @needs(Deed.MAKE)
    def create(self, name: str) -> str:
        """Make an empty set and return its name.

        Raises RequestError when the name is none, DataError when it is taken.
        """
        name = unicodedata.normalize("NFC", name).strip()
        if not _is_name(name):
            raise RequestError(
                f"{name[:100]!r} cannot be the name of a picture set; take letters, numbers, "
                "blanks, and . + - _ between them.",
                "pictures",
            )
        with self._changing:
            if self.is_taken(name):
                raise DataError(f"There is a picture set {name!r} already; choose another name.")
            self._owned.keep(name)
            self._make(self.folder / name)
        return name

    @needs(Deed.MAKE)
    def add(self, name: str, files: Iterable[tuple[str, bytes | Path]]) -> Added:
        """Add uploaded pictures, captions and archives of them to a set.

        files: what each is called by whoever sends it, and what it holds or where it was received.
        Raises NotFound, and StorageError when the disk refuses; what was added before stays.
        """
        folder = self.own(name)
        self._admit()
        with self._changing:
            return Adding(folder).run(files)

    @needs(Deed.MAKE)
    def take_in(self, source: Path, name: str = "") -> TakenIn:
        """Make a set of a folder, archive or kohya TOML file of this machine.

        The same pictures are not taken in twice: their set is named again. name: of the set, ""
        for one by the source. Raises NotFound and DataError in one sentence.
        """
        source = source.expanduser()
        for own, folder in self._shown().items():
            if _is_name(own) and _same(source, folder):
                return TakenIn(own, len(find_pictures(folder)))
        if source.suffix.lower() == ".zip" and source.is_file():
            return self._take_archive(source, name)
        if source.suffix.lower() == ".parquet" and source.is_file():
            return self.take_parquet(source, name)
        if source.suffix.lower() == ".toml":
            gathered = gather_data_file(source)
        else:
            gathered = gather_folder(source)
        wanted = self._wanted(name, source.absolute().name.removesuffix(".toml"))
        return self._keep(wanted, gathered)

    @needs(Deed.MAKE)
    def take_parquet(
        self,
        source: str | Path,
        name: str = "",
        wish: TableWish | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> TakenIn:
        """Make a set of a table of pictures: an id of the hub, or a path of this machine.

        check: called between pictures; what it raises stops that. Raises DataError in one sentence.
        """
        wish = wish or TableWish(most=MOST_PICTURES)
        wanted = self._wanted(name, Path(source).name.removesuffix(".parquet"))
        aside = self._aside()
        try:
            count = 0
            for file, content, caption in rows(source, wish):
                check()
                replace_file(aside / file, content)
                if caption:
                    replace_file((aside / file).with_suffix(".txt"), caption.encode())
                count += 1
            if not count:
                raise DataError(f"{source} has no pictures that can be read; take another column.")
            return TakenIn(self._place(aside, wanted), count)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    @needs(Deed.MAKE)
    def remove(self, name: str, for_good: bool = False) -> None:
        """Move a set to the trash, or delete it; of a link, only the link.

        Whether a run still learns from it is the caller's to know.
        """
        folder = self.own(name)
        try:
            if folder.is_symlink():
                folder.unlink()
                self._owned.forget(name)
                return
            trash = self.folder / _TRASH
            trash.mkdir(exist_ok=True)
            moved = trash / f"{name} {time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            folder.rename(moved)
            self._owned.forget(name)
            if for_good:
                shutil.rmtree(moved)
        except OSError as error:
            raise from_os_error(error, f"remove the picture set {name}") from None

    def _folders(self) -> dict[str, Path]:
        """All folders that are not hidden, by their names as they are composed of characters."""
        try:
            return {
                unicodedata.normalize("NFC", path.name): path
                for path in self.folder.iterdir()
                if not path.name.startswith(".") and path.is_dir()
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise from_os_error(error, f"look into {self.folder}") from None

    def _shown(self) -> dict[str, Path]:
        """Those of them that are shown to who is at work."""
        found = self._folders()
        shown = self._owned.shown(found)
        return {name: path for name, path in found.items() if name in shown}

    def _wanted(self, name: str, source: str) -> str:
        """The name that a set is to have: the one that was said, or one by its source."""
        if name and not _is_name(name):
            raise RequestError(f"{name[:100]!r} cannot be the name of a picture set.", "pictures")
        plain = "".join(
            letter if letter.isalnum() or letter in "_.+- " else "_" for letter in safe_name(source)
        )
        plain = plain[:_LONGEST].strip(" .+-")
        return name or (plain if _is_name(plain) else "pictures")

    def _take_archive(self, source: Path, name: str) -> TakenIn:
        aside = self._aside()
        try:
            added = Adding(aside).run([(source.name, source)])
            if not added.pictures:
                why = " ".join(added.refused[:3]) or "It is empty."
                raise DataError(f"There are no pictures in {source} that can be used: {why}")
            placed = self._place(aside, self._wanted(name, source.stem))
            return TakenIn(placed, added.pictures, notices=added.refused)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _keep(self, wanted: str, gathered: Gathered) -> TakenIn:
        aside = self._aside()
        try:
            write_set(gathered, aside)
            placed = self._place(aside, wanted)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return TakenIn(placed, len(gathered.files), gathered.fields, tuple(gathered.notices))

    def _aside(self) -> Path:
        """A folder to be filled before it is given its name; what a kill left of others goes."""
        for left in self.folder.glob(f"{ASIDE}*"):
            with suppress(OSError):  # another one may be tidying too
                if time.time() - left.stat().st_mtime > _STALE:
                    shutil.rmtree(left, ignore_errors=True)
        aside = self.folder / f"{ASIDE}{secrets.token_hex(8)}"
        self._make(aside)
        return aside

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise from_os_error(error, f"make the folder {folder}") from None

    def _place(self, aside: Path, wanted: str) -> str:
        """Give a whole folder the name it is to have, or find the set that is the same."""
        content = content_of(aside)
        with self._changing:
            there = {name.casefold(): path for name, path in self._folders().items()}
            number, free = 1, wanted
            while (other := there.get(free.casefold())) is not None:
                is_shown = self._owned.shows(unicodedata.normalize("NFC", other.name))
                if is_shown and content_of(other) == content:
                    return unicodedata.normalize("NFC", other.name)
                number += 1
                free = f"{wanted} {number}"
            self._owned.keep(free)
            try:
                aside.rename(self.folder / free)
            except OSError as error:
                raise from_os_error(error, f"keep the picture set {free}") from None
        return free


def _is_name(name: str) -> bool:
    try:
        return _NAME.validate_python(name) == name
    except ValidationError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
