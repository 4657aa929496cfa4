"""Looks at many pictures at once, and remembers what it saw."""

import json
import os
import secrets
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from PIL import Image

from studio.errors import InputError
from studio.training.health.looked import Looked, from_json, look, read
from studio.training.health.wording import shown

_VERSION = 1
"""Of what is remembered; another one whenever a look tells more, or measures it otherwise."""
MOST_THREADS = 4
"""A picture of 100 million pixels takes up to 400 MB while it is decoded."""

OnProgress = Callable[[int, int], object]
"""Called with how many are done, and of how many; what it raises stops the work."""


class Looker:
    """Looks at picture files.

    cache: folder of what was seen, by the files' content, so that names and places do not matter.
    threads: 0 for as many as there are processors, up to MOST_THREADS.
    """

    def __init__(self, cache: Path, threads: int = 0):
        self._cache = cache / f"v{_VERSION}"
        self._threads = threads or min(MOST_THREADS, os.cpu_count() or 1)

    def look_all(
        self, paths: Sequence[Path], on_progress: OnProgress = lambda done, of: None
    ) -> list[Looked]:
        """A look at each, in their order. What cannot be read has a fault and raises nothing.

        on_progress: called in this thread; it may raise Cancelled.
        """
        found = []
        Image.init()  # here, as it is not made for several threads at once
        # Filters belong to the whole process; set once around all threads, they end as they began.
        with warnings.catch_warnings(), ThreadPoolExecutor(self._threads) as pool:
            warnings.simplefilter("ignore")
            running = [pool.submit(self.look, path) for path in paths]
            try:
                for each in running:
                    found.append(each.result())
                    on_progress(len(found), len(paths))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return found

    def look(self, path: Path) -> Looked:
        """A look at one file, from memory where there has been one."""
        try:
            data = read(path)
        except InputError as error:
            return Looked(fault=str(error))
        seen = self._remembered(sha256(data).hexdigest())
        if seen is None:
            seen = look(data, shown(path.name))
            if not seen.fault:  # a fault may be for want of memory, and names the file
                self._remember(seen)
        return seen

    def _place(self, digest: str) -> Path:
        return self._cache / digest[:2] / f"{digest}.json"

    def _remembered(self, digest: str) -> Looked | None:
        try:
            seen = from_json(json.loads(self._place(digest).read_text("utf-8")))
            return seen if seen.sha256 == digest else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _remember(self, seen: Looked) -> None:
        place = self._place(seen.sha256)
        aside = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
        with suppress(OSError):  # it is looked at again, that is all
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                aside.write_text(json.dumps(seen.to_json()), "utf-8")
                aside.replace(place)
            finally:
                aside.unlink(missing_ok=True)
