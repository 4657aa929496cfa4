"""Pictures dropped in the browser: a zone for many at once, and the set that they go into."""

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from studio.errors import DataError, RequestError
from studio.services import Services
from studio.training.pictures.listing import Found, describe, find_pictures
from studio.training.pictures.uploads import MOST_PICTURES, Added, safe_name
from tabs.blocks.drop_zone import uploaded
from tabs.theme import script

_ICON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round"><rect x="3" y="6" width="14" height="14" '
    'rx="2"/><path d="M7 3h12a2 2 0 0 1 2 2v12M3 16l4-4 3 3 2-2 5 5"/></svg>'
)
_ACCEPTED = "image/*,.txt,.caption,.jsonl,.zip,.avif,.parquet"
_TOLD = 3
FIRST = 12
"""Pictures of a set that are shown beside its name."""


def build(words: str, elem_id: str) -> gr.HTML:
    """Lay the zone out; it triggers `dropped` with paths and names. Its value is what it says."""
    return gr.HTML(
        words,
        html_template=f'<label class="at-drop">{_ICON}<span class="words" role="status"></span>'
        f'<input type="file" accept="{_ACCEPTED}" multiple></label>',
        js_on_load=script("pictures"),
        padding=False,
        elem_id=elem_id,
    )


def add(services: Services, name: str, event: gr.EventData) -> str:
    """Add what was dropped to a set, or to a new one of about this name; the set's name.

    Raises DataError when nothing of it could be used; then no set is made.
    """
    files, lost = _files(event)
    if not files:
        first = lost[0] if lost else "The pictures"
        raise DataError(f"{first} could not be uploaded; it may be too large.")
    is_new = name not in services.picture_sets.names()
    tables = [path for file, path in files if file.lower().endswith(".parquet")]
    try:
        if tables:
            return _add_table(services, name, tables[0], alone=len(files) == 1)
        made = new_set(services, name) if is_new else name
        added = services.picture_sets.add(made, files)
        if is_new and not added.pictures:
            services.picture_sets.remove(made, for_good=True)
            raise DataError(" ".join(added.refused[:_TOLD]) or "There is no picture among these.")
    finally:
        for _, path in files:
            path.unlink(missing_ok=True)
    _tell(made, added, lost)
    return made


def _add_table(services: Services, name: str, table: Path, *, alone: bool) -> str:
    """Make a set of a table of pictures."""
    if not alone:
        raise DataError("A .parquet table makes a set of its own; drop it alone.")
    taken = services.picture_sets.take_parquet(table, free_name(services, name))
    gr.Info(f"{taken.pictures:,} pictures in {html.escape(taken.name)}.", title="Added", duration=5)
    return taken.name


def new_set(services: Services, wanted: str) -> str:
    """Make a set of a name, or of one that is near it and free."""
    try:
        return services.picture_sets.create(free_name(services, wanted))
    except (RequestError, DataError):  # a folder that no request can name is in the way
        return services.picture_sets.create(free_name(services, "pictures 1"))


def free_name(services: Services, wanted: str) -> str:
    """A name for a set that is near this one and free."""
    plain = "".join(c if c.isalnum() or c in "_.+- " else " " for c in safe_name(wanted))
    plain = " ".join(plain.split())[:60].strip(" .+-") or "pictures"
    number, free = 1, plain
    while services.picture_sets.is_taken(free):
        number += 1
        free = f"{plain} {number}"
    return free


def strip(services: Services, name: str) -> str:
    """The first pictures of a set and how many there are, as HTML; "" for none."""
    if name not in services.picture_sets.names():
        return ""
    told = services.picture_sets.summary(name)
    if told.problem:
        return f'<p class="at-wrong">{html.escape(told.problem)}</p>'
    if not told.pictures:
        return '<p class="at-none">No pictures yet.</p>'
    folder = services.picture_sets.path(name)
    first = find_pictures(folder)[:FIRST]
    facts = describe_some(folder, first)
    shown = "".join(
        f'<img src="{address(name, facts[each.name])}" alt="{html.escape(each.name)}" '
        f'title="{html.escape(each.name)}" loading="lazy" decoding="async">'
        for each in first
        if each.name in facts
    )
    more = told.pictures - len(first)
    rest = f"<span>+{more:,}</span>" if more > 0 else ""
    plural = "s" * (told.pictures != 1)
    captioned = f", {told.captioned:,} with a caption" if told.captioned else ""
    return (
        f'<div class="at-train-strip">{shown}{rest}</div>'
        f'<p class="at-none">{told.pictures:,} picture{plural}{captioned}</p>'
    )


def describe_some(folder: Path, pictures: Sequence[Found]) -> dict[str, str]:
    """The sums of a set's pictures by name, for those that can be read.

    All of the set are looked at, as what is remembered of it is written anew.
    """
    facts = describe(folder, find_pictures(folder))
    wanted = {each.name for each in pictures}
    return {name: told.sha256 for name, told in facts.items() if name in wanted and told.sha256}


def address(name: str, digest: str, size: str = "small") -> str:
    """Where a picture of a set is to be had."""
    return f"picture_sets/{quote(name, safe='')}/{digest}/{size}"


def _files(event: gr.EventData) -> tuple[list[tuple[str, Path]], list[str]]:
    """Names and places of uploaded files; only what lies in the upload folder is taken."""
    told = getattr(event, "files", None)
    found: list[tuple[str, Path]] = []
    lost = [str(each)[:100] for each in getattr(event, "lost", None) or [] if each]
    for each in (told if isinstance(told, list) else [])[: 2 * MOST_PICTURES]:
        if not isinstance(each, dict):
            continue
        name = str(each.get("name", ""))[:500] or "picture"
        path = uploaded(str(each.get("path", "")))
        if path is None:
            lost.append(name)
        else:
            found.append((name, path))
    return found, lost


def _tell(name: str, added: Added, lost: Sequence[str]) -> None:
    parts = [f"{added.pictures:,} picture{'s' * (added.pictures != 1)}"]
    if added.captions:
        parts.append(f"{added.captions:,} caption{'s' * (added.captions != 1)}")
    said = f"{' and '.join(parts)} in {html.escape(name)}"
    if added.already:
        said += f"; {added.already:,} {'was' if added.already == 1 else 'were'} there already"
    gr.Info(f"{said}.", title="Added", duration=5)
    for each in added.refused[:_TOLD]:
        gr.Warning(html.escape(each), title="Left out", duration=10)
    if len(added.refused) > _TOLD:
        gr.Warning(f"{len(added.refused) - _TOLD} more were left out.", title="Left out")
    for each in lost[:_TOLD]:
        gr.Warning(html.escape(f"{each} could not be uploaded."), title="Left out", duration=10)
