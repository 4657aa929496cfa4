"""Checks of captions: there, readable, short enough, and with the word that calls it up."""

from collections.abc import Callable, Sequence
from pathlib import Path

from studio.training.health.caption_file import Text
from studio.training.health.finding import Arguments, Finding, Fix, FixKind, Kind, Severity
from studio.training.health.seen import Seen, Sight
from studio.training.health.wording import count, named, shown, verb
from studio.training.pictures.captions import has_trigger, with_trigger
from studio.training_requests import CaptionSource, Pictures

_ALIKE = 3
"""Captions of the same text from which they say nothing apart."""


def written(seen: Sequence[Seen], wanted: Pictures) -> list[Finding]:
    """Caption files that are no text, or text of another encoding."""
    if not _reads_files(wanted):
        return []
    found = []
    names = tuple(each.name for each in seen if each.caption_file.holds is Text.BINARY)
    if names:
        sentence = (
            f"The caption {verb(len(names), 'file', 'files')} of {named(names)} "
            f"{verb(len(names), 'is', 'are')} not text; leave {verb(len(names), 'it', 'them')} out."
        )
        fix = Fix(FixKind.LEAVE_CAPTIONS_OUT, "Leave the captions out", Arguments(names))
        found.append(Finding(Kind.CAPTION_BINARY, Severity.STOP, sentence, names, fix))
    foreign = [each for each in seen if each.caption_file.holds is Text.FOREIGN]
    if foreign:
        names = tuple(each.name for each in foreign)
        sentence = (
            f"The captions of {named(names)} are not UTF-8 and were read as best they could be, "
            f"the first as “{_start(foreign[0].caption_file.text)}”; write them anew if that is "
            "right."
        )
        anew = _write("Write as UTF-8", foreign, [each.caption_file.text for each in foreign])
        found.append(Finding(Kind.CAPTION_ENCODING, Severity.WARN, sentence, names, anew))
    return found


def missing(seen: Sequence[Seen], wanted: Pictures) -> list[Finding]:
    """Pictures without a caption of their own."""
    if not _reads_files(wanted):
        return []
    bare = [each for each in seen if _is_bare(each, wanted)]
    if not bare:
        return []
    names = tuple(each.name for each in bare)
    empty = [each for each in bare if not each.caption]
    which = "all pictures" if len(bare) == len(seen) else f"{len(bare):,} of {len(seen):,} pictures"
    fix = None
    if wanted.prompt:
        fix = _write("Write the prompt", bare, [wanted.prompt] * len(bare))
    if empty:
        advice = "write the prompt for them" if wanted.prompt else "say in the prompt what they are"
        sentence = f"There is no caption for {which} ({named(names)}); {advice}."
        return [Finding(Kind.CAPTION_MISSING, Severity.WARN, sentence, names, fix)]
    if len(bare) == len(seen):
        return []  # one prompt for all is a way to train, not a fault
    sentence = (
        f"There is no caption for {which} ({named(names)}), which take what is said of all; "
        "describe them as the others are, or what sets them apart is learnt as the subject."
    )
    return [Finding(Kind.CAPTION_MISSING, Severity.HINT, sentence, names, fix)]


def long(seen: Sequence[Seen], wanted: Pictures, sight: Sight) -> list[Finding]:
    """Captions of which the model does not read the end. The trigger is counted with them."""
    tokens = sight.count_tokens
    if tokens is None:
        return []
    counts: dict[str, int] = {}
    over = []
    for each in seen:
        text = with_trigger(each.caption, wanted.trigger)
        if text not in counts:
            counts[text] = tokens(text)
        if counts[text] > sight.limit:
            over.append((counts[text], each))
    if not over:
        return []
    over.sort(key=lambda each: (-each[0], each[1].name))
    names = tuple(each.name for _, each in over)
    own = [each for _, each in over if _is_own(each, wanted)]
    fix = None
    if own:
        fix = _write("Shorten at a comma", own, [_cut(each, wanted, sight) for each in own])
    sentence = (
        f"{verb(len(over), 'The caption', 'Captions')} of {named(names)} "
        f"{verb(len(over), 'has', 'have')} up to {over[0][0]:,} tokens, of which the model reads "
        f"{sight.limit}; shorten {verb(len(over), 'it', 'them') if own else 'the prompt'}."
    )
    return [Finding(Kind.CAPTION_LONG, Severity.WARN, sentence, names, fix)]


def _cut(each: Seen, wanted: Pictures, sight: Sight) -> str:
    assert sight.count_tokens is not None
    tokens = sight.count_tokens
    return shortened(
        each.caption,
        lambda text: tokens(with_trigger(text, wanted.trigger)) <= sight.limit,
    )


def without_trigger(seen: Sequence[Seen], wanted: Pictures) -> list[Finding]:
    """Caption files that lack the word that is to call it up, which training puts before them.

    The files count and not what was made of them, in which it may have been put already.
    """
    if not wanted.trigger or not _reads_files(wanted):
        return []
    own = [each for each in seen if each.caption_file.says_something]
    lacking = [each for each in own if not has_trigger(each.caption_file.text, wanted.trigger)]
    if not lacking:
        return []
    names = tuple(each.name for each in lacking)
    sentence = (
        f"The trigger “{shown(wanted.trigger)}” is missing in {count(len(lacking), 'caption')} of "
        f"{len(own):,} ({named(names)}) and will be put before them; write it where it belongs in "
        "the sentence, or have it put before them in the files too."
    )
    texts = [with_trigger(each.caption_file.text, wanted.trigger) for each in lacking]
    fix = _write("Put the trigger first", lacking, texts)
    return [Finding(Kind.TRIGGER_MISSING, Severity.HINT, sentence, names, fix)]


def the_same(seen: Sequence[Seen], wanted: Pictures) -> list[Finding]:
    """Caption files that all say the same."""
    own = [each for each in seen if _reads_files(wanted) and each.caption_file.says_something]
    texts = {" ".join(each.caption_file.text.lower().split()) for each in own}
    if len(own) < _ALIKE or len(texts) > 1:
        return []
    names = tuple(each.name for each in own)
    sentence = (
        f"All {len(own):,} captions say “{_start(own[0].caption_file.text)}”, so that what differs "
        "between the pictures is learnt as the subject; describe in each what is not the subject."
    )
    return [Finding(Kind.SAME_CAPTIONS, Severity.HINT, sentence, names)]


def shortened(caption: str, fits: Callable[[str], bool]) -> str:
    """As much of a caption's beginning as fits, to a comma if there is one, else to a word."""
    for mark in (",", " "):
        parts = caption.split(mark)
        low, high = 0, len(parts)  # as many parts fit; one more than fit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(mark.join(parts[:middle])) else (low, middle)
        kept = mark.join(parts[:low]).strip().rstrip(", ")
        if kept:
            return kept
    return ""


def _reads_files(wanted: Pictures) -> bool:
    return wanted.captions in (CaptionSource.AUTO, CaptionSource.FILES)


def _is_bare(each: Seen, wanted: Pictures) -> bool:
    """Whether a picture has no caption, or none but what the request says of all."""
    if each.caption_file.holds is Text.BINARY:
        return False  # that is a finding of its own
    of_all = (wanted.prompt, wanted.trigger, with_trigger(wanted.prompt, wanted.trigger))
    return not each.caption or (not each.caption_file.says_something and each.caption in of_all)


def _is_own(each: Seen, wanted: Pictures) -> bool:
    """Whether it has a caption of its own, which a file beside it may replace."""
    return _reads_files(wanted) and bool(each.caption) and not _is_bare(each, wanted)


def _write(label: str, those: Sequence[Seen], texts: Sequence[str]) -> Fix | None:
    """The press that writes a caption for each; where one file is for several, the first's."""
    chosen: dict[Path, tuple[str, str]] = {}
    for each, text in zip(those, texts, strict=True):
        if text:
            chosen.setdefault(each.example.path.with_suffix(""), (each.name, text))
    if not chosen:
        return None
    names, captions = zip(*chosen.values(), strict=True)
    return Fix(FixKind.WRITE_CAPTIONS, label, Arguments(names, captions))


def _start(text: str) -> str:
    return shown(text if len(text) <= 50 else f"{text[:49]}…")
