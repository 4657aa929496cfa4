"""The check of a picture set: every look at it put together, the worst first."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studio.errors import RequestError
from studio.training.health import captions, doubles, files, looks
from studio.training.health.caption_file import read_caption
from studio.training.health.finding import Finding, Kind, Severity
from studio.training.health.looker import Looker, OnProgress
from studio.training.health.seen import Seen, Sight, files_of, is_picture
from studio.training.health.wording import shown
from studio.training.pictures.example import Example, Placed
from studio.training_requests import CaptionSource, Pictures


@dataclass(frozen=True)
class Report:
    """What a check has found, the worst first. pictures: how many files were looked at.

    readable: how many of these could be read. seconds: that it took.
    """

    findings: tuple[Finding, ...] = ()
    pictures: int = 0
    readable: int = 0
    seconds: float = 0.0

    @property
    def stops(self) -> tuple[Finding, ...]:
        """What no training is begun with."""
        return tuple(each for each in self.findings if each.severity is Severity.STOP)

    def refuse(self) -> None:
        """Raise RequestError, in one sentence, when no training can be begun with this set."""
        if not self.stops:
            return
        sentence = self.stops[0].sentence
        more = len(self.stops) - 1
        if more:
            sentence += f" (The check has found {more} more that must be mended.)"
        raise RequestError(sentence, "pictures")


def check(
    folder: Path,
    wanted: Pictures,
    sight: Sight,
    looker: Looker,
    *,
    examples: Sequence[Example | Placed] | None = None,
    unusable: Mapping[str, Path] | None = None,
    class_pictures: Path | None = None,
    on_progress: OnProgress = lambda done, of: None,
) -> Report:
    """Check a set for a training.

    folder: the set's. wanted: a TrainRequest, or that part of one. examples: what the set's own
    reader has made of it, placed in buckets or not; unusable: the files that it could make nothing
    of, by name. None takes every picture of the folder. class_pictures: folder of those of the
    class. on_progress: called in this thread; what it raises, as Cancelled, stops the check.
    """
    began = time.perf_counter()
    try:
        there = files_of(folder)
    except OSError as error:
        sentence = (
            f"The pictures in {shown(str(folder))} cannot be listed "
            f"({error.strerror or error}); choose another folder or see to its permissions."
        )
        return Report((Finding(Kind.NO_PICTURES, Severity.STOP, sentence),))
    chosen = list(examples) if examples is not None else _all_of(there, wanted)
    bare = [Example(path, name, "", (0, 0)) for name, path in (unusable or {}).items()]
    paths = [_example(each).path for each in (*chosen, *bare)]
    looked = looker.look_all(paths, on_progress)
    seen = [
        Seen(
            _example(each),
            look,
            read_caption(_example(each).path),
            each if isinstance(each, Placed) else None,
        )
        for each, look in zip(chosen, looked, strict=False)
    ]
    lost = [
        Seen(each, look if look.fault else replace(look, fault=_refused(each.name)))
        for each, look in zip(bare, looked[len(chosen) :], strict=True)
    ]
    findings = [
        *files.unreadable([*seen, *lost]),
        *files.unsupported(there),
        *doubles.class_pictures(seen, _pictures_in(class_pictures)),
        *_checks(seen, wanted, sight),
    ]
    return Report(
        tuple(sorted(findings, key=lambda each: each.rank)),
        len(seen) + len(lost),
        sum(not each.looked.fault for each in seen),
        time.perf_counter() - began,
    )


def _checks(seen: Sequence[Seen], wanted: Pictures, sight: Sight) -> list[Finding]:
    usable = [each for each in seen if not each.looked.fault]
    return [
        *files.tiny(seen),
        *files.few(seen),
        *files.turned(seen),
        *files.unbalanced(seen),
        *doubles.doubles(seen),
        *looks.blurred(seen, sight),
        *looks.enlarged(seen, sight, wanted.buckets),
        *looks.cut_off(seen, sight, wanted.buckets),
        *looks.odd_shape(seen, wanted.buckets),
        *looks.transparent(seen),
        *looks.grey(seen),
        *captions.written(usable, wanted),
        *captions.missing(usable, wanted),
        *captions.long(usable, wanted, sight),
        *captions.without_trigger(usable, wanted),
        *captions.the_same(usable, wanted),
    ]


def _example(each: Example | Placed) -> Example:
    return each.example if isinstance(each, Placed) else each


def _refused(name: str) -> str:
    return f"{shown(name)} cannot be used; save it anew as PNG or JPEG."


def _all_of(there: Mapping[str, Path], wanted: Pictures) -> list[Example | Placed]:
    return [_bare(name, path, wanted) for name, path in there.items() if is_picture(name)]


def _bare(name: str, path: Path, wanted: Pictures) -> Example:
    """A picture of a folder that nobody has read yet; its size is told by the look at it."""
    text = read_caption(path).text
    caption = {
        CaptionSource.AUTO: text or wanted.prompt,
        CaptionSource.FILES: text,
        CaptionSource.NAMES: path.stem,
        CaptionSource.PROMPT: wanted.prompt,
    }[wanted.captions]
    return Example(path, name, "", (0, 0), caption)


def _pictures_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return [path for name, path in files_of(folder).items() if is_picture(name)]
    except OSError:
        return []
