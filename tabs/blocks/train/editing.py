"""What the controls of picture sets do. A page of pictures is all that is ever drawn at once."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.errors import AtelierError, NotFound
from studio.models.captioners import FOLDER
from studio.requests import validated
from studio.services import Services
from studio.training.health.finding import leave_out
from studio.training.pictures import editing
from studio.training.pictures.captions import variant
from studio.training.pictures.example import Placed
from studio.training.pictures.listing import Facts, describe, find_pictures
from studio.training.pictures.notes import set_focus
from studio.training.pictures.sets import PictureSets
from studio.training_requests import TrainRequest
from tabs.blocks.maker import in_words
from tabs.blocks.train import dropped, gallery
from tabs.blocks.train.gallery import Tile
from tabs.blocks.train.sets import DELETE, PAGE, SURE, Sets
from tabs.forms import Values

_LONGEST = 1000
_TAGS = 500
_SHUFFLED, _STEPS = 4, 3
_TOLD = 3
_Operation = Callable[[editing.Captions], editing.Edit]


class SetHandlers:
    """What the panel's controls do."""

    def __init__(self, services: Services, view: Sets):
        self._services = services
        self._sets = services.picture_sets
        self._view = view

    # Sets

    def lists(self, values: Values) -> dict[Any, Any]:
        """The sets of today; what is chosen stays, and the first is opened at first."""
        names = self._sets.names()
        name = values[self._view.name]
        return self._opened(name if name in names else (names[0] if names else ""), values)

    def choose(self, values: Values) -> dict[Any, Any]:
        """Open a set at its first page."""
        return self._opened(str(values[self._view.name] or ""), values)

    def drop(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """Add what was dropped to the set that is open, or to a new one."""
        with in_words("Not added"):
            name = dropped.add(self._services, self._name(values) or "pictures", event)
        return self._opened(name, values)

    def make(self, values: Values) -> dict[Any, Any]:
        """Make an empty set."""
        with in_words("Not made"):
            name = self._sets.create(str(values[self._view.new_name] or ""))
        return self._opened(name, values)

    def delete(self, values: Values) -> dict[Any, Any]:
        """Move the set to the trash at the second press."""
        view, name = self._view, self._name(values)
        if values[view.sure] != name:
            return {view.sure: name, view.delete: gr.Button(SURE, variant="stop")}
        with in_words("Not deleted"):
            self._sets.remove(name)
        gr.Info(f"{html.escape(name)} is in pictures/.trash.", title="Deleted", duration=6)
        return self.lists({**values, view.name: None})

    # Pages

    def search(self, values: Values) -> dict[Any, Any]:
        """The first pictures that match."""
        return self._page(values, 0)

    def earlier(self, values: Values) -> dict[Any, Any]:
        """The page before."""
        return self._page(values, values[self._view.place] - PAGE)

    def later(self, values: Values) -> dict[Any, Any]:
        """The page after."""
        return self._page(values, values[self._view.place] + PAGE)

    # Captions

    def write(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """Keep a caption that was edited where it stands; the page is not drawn anew."""
        text = str(getattr(event, "text", ""))
        with in_words("Not kept"):
            folder = self._own(values)
            name = self._named(values, str(getattr(event, "sum", "")))[0]
            editing.write_captions(folder, {name: text})
            edited = self._edited(values)
        for each in self._view.page:
            edited.pop(each, None)
        return edited

    def count(self, values: Values) -> str:
        """How often what is looked for is there."""
        view = self._view
        if not values[view.find]:
            return ""
        try:
            found = self._replaced(values)(editing.read_captions(self._folder(values)))
        except AtelierError as error:
            return f'<p class="at-wrong">{html.escape(str(error))}</p>'
        pictures = len(found.captions)
        return (
            f'<p class="at-none">{found.count:,} time{"s" * (found.count != 1)} in '
            f"{pictures:,} caption{'s' * (pictures != 1)}</p>"
        )

    def replace(self, values: Values) -> dict[Any, Any]:
        """Replace it in all captions."""
        return self._edit(values, self._replaced(values))

    def prefix(self, values: Values) -> dict[Any, Any]:
        """Put a text before all captions."""
        text = self._text(values)
        return self._edit(values, lambda captions: editing.prefixed(captions, text))

    def suffix(self, values: Values) -> dict[Any, Any]:
        """Put a text behind all captions."""
        text = self._text(values)
        return self._edit(values, lambda captions: editing.suffixed(captions, text))

    def without(self, values: Values) -> dict[Any, Any]:
        """Drop a part everywhere."""
        tag = str(values[self._view.tag] or "")
        return self._edit(values, lambda captions: editing.without_tag(captions, tag))

    def tidy(self, values: Values) -> dict[Any, Any]:
        """Drop parts that stand twice in a caption."""
        return self._edit(values, editing.without_duplicates)

    def order(self, values: Values) -> dict[Any, Any]:
        """Sort parts, but for those that stay in front."""
        keep = int(values[self._view.keep] or 0)
        return self._edit(values, lambda captions: editing.sorted_tags(captions, keep))

    def shuffle(self, values: Values) -> str:
        """How some captions look when their parts are shuffled."""
        keep = int(values[self._view.keep] or 0)
        with in_words("Not shown"):
            captions = editing.read_captions(self._folder(values))
        parted = [(name, text) for name, text in captions.items() if text.count(",") > keep]
        return gallery.shuffled(
            [
                (name, variant(text, seed, True, keep))
                for name, text in parted[:_SHUFFLED]
                for seed in range(_STEPS)
            ]
        )

    def undo(self, values: Values) -> dict[Any, Any]:
        """Take the last edit of captions back, or what was taken out last."""
        with in_words("Not taken back"):
            folder = self._own(values)
            if editing.can_undo(folder):
                count = editing.undo(folder)
                said = f"{count:,} caption{'s' * (count != 1)} as before."
            else:
                said = f"Taken back: {self._services.checking.take_back(self._name(values))}."
        gr.Info(html.escape(said), duration=4)
        return self._edited(values)

    # One picture

    def pick(self, values: Values, model: str, event: gr.EventData) -> dict[Any, Any]:
        """A picture with what a training cuts off."""
        with in_words("Not shown"):
            return self._alone(values, str(getattr(event, "sum", "")), model)

    def focus(self, values: Values, model: str, event: gr.EventData) -> dict[Any, Any]:
        """Have the cut's middle where the picture was pressed."""
        digest = str(getattr(event, "sum", ""))
        with in_words("Not kept"):
            place = (_share(getattr(event, "x", None)), _share(getattr(event, "y", None)))
            set_focus(self._own(values), self._named(values, digest)[0], place)
            return self._alone(values, digest, model)

    def middle(self, values: Values, model: str) -> dict[Any, Any]:
        """Have the cut in the middle of the picture."""
        digest = values[self._view.picked]
        with in_words("Not kept"):
            set_focus(self._own(values), self._named(values, digest)[0], None)
            return self._alone(values, digest, model)

    def out(self, values: Values) -> dict[Any, Any]:
        """Take the picture out of the set, with its caption; it can be had back."""
        with in_words("Not taken out"):
            name = self._named(values, values[self._view.picked])[0]
            said = self._services.checking.mend(self._name(values), leave_out((name,)))
        gr.Info(html.escape(said), duration=4)
        return {**self._edited(values), **self.close()}

    def close(self) -> dict[Any, Any]:
        """Only the page."""
        return {self._view.one: gr.Column(visible=False), self._view.picked: ""}

    # What they share

    def _name(self, values: Values) -> str:
        return str(values[self._view.name] or "")

    def _folder(self, values: Values) -> Any:
        return self._sets.path(self._name(values))

    def _own(self, values: Values) -> Any:
        """The folder, for who may change what is in it."""
        return self._sets.own(self._name(values))

    def _text(self, values: Values) -> str:
        text = str(values[self._view.text] or "")
        if not text.strip():
            raise gr.Error("Type a text first.", title="Not changed", print_exception=False)
        return text

    def _replaced(self, values: Values) -> _Operation:
        view = self._view
        return lambda captions: editing.replaced(
            captions,
            str(values[view.find] or "")[:_LONGEST],
            str(values[view.new] or "")[:_LONGEST],
            pattern=bool(values[view.pattern]),
            match_case=bool(values[view.case]),
        )

    def _edit(self, values: Values, operation: _Operation) -> dict[Any, Any]:
        with in_words("Not changed"):
            folder = self._own(values)
            edit = operation(editing.read_captions(folder))
            count = editing.write_captions(folder, edit.captions)
        gr.Info(f"{count:,} caption{'s' * (count != 1)} changed.", duration=4)
        return self._edited(values)

    def _named(self, values: Values, digest: str) -> tuple[str, Facts]:
        """The picture that has a sum."""
        folder = self._folder(values)
        facts = describe(folder, find_pictures(folder))
        for name, told in facts.items():
            if told.sha256 and told.sha256 == digest:
                return name, told
        raise NotFound("The set has no such picture any more; look at it anew.")

    def _alone(self, values: Values, digest: str, model: str) -> dict[Any, Any]:
        view = self._view
        placed = self._placed(values, digest, model)
        image, about = gallery.one(self._name(values), placed, model or "")
        return {
            view.one: gr.Column(visible=True),
            view.cut: image,
            view.about: about,
            view.picked: digest,
        }

    def _placed(self, values: Values, digest: str, model: str) -> Placed:
        given = {"name": "unnamed", "pictures": self._name(values), "model": model or ""}
        asked = validated(TrainRequest, given)
        for each in self._services.checking.placed(asked):
            if each.example.sha256 == digest:
                return each
        raise NotFound("The set has no such picture any more; look at it anew.")

    def _opened(self, name: str, values: Values) -> dict[Any, Any]:
        view = self._view
        names = self._sets.names()
        fresh = {**values, view.name: name, view.search: "", view.which: "", view.picked: ""}
        able = [each.name for each in self._services.captioners.entries() if not each.problem]
        return {
            view.name: gr.Dropdown(names, value=name or None, info=_misnamed(self._sets)),
            view.delete: gr.Button(DELETE, variant="secondary", visible=bool(name)),
            view.sure: "",
            view.search: "",
            view.which: "",
            view.shuffled: "",
            view.captioner: _captioner(able),
            view.caption: gr.Button(visible=bool(able)),
            view.form: gr.Textbox(visible=bool(able)),
            view.caption_all: gr.Checkbox(visible=bool(able)),
            **self.close(),
            **(self._edited(fresh, 0) if name else self._nothing()),
        }

    def _nothing(self) -> dict[Any, Any]:
        view = self._view
        hidden = {each: gr.Button(visible=False) for each in (view.previous, view.next, view.undo)}
        empty = {view.grid: gallery.nothing(), view.where: "", view.facts: "", view.count: ""}
        return {**hidden, **empty, view.place: 0, view.tag: gr.Dropdown([], value=None)}

    def _edited(self, values: Values, place: int | None = None) -> dict[Any, Any]:
        view = self._view
        folder = self._folder(values)
        captions = editing.read_captions(folder)
        bare = sum(not text for text in captions.values())
        count = len(captions)
        tags = list(editing.tag_counts(captions).items())[:_TAGS]
        choices = [(f"{tag} ({number:,})", tag) for tag, number in tags]
        kept = values[view.tag] if values[view.tag] in dict(tags) else None
        undoable = editing.can_undo(folder) or self._services.checking.last_mended(folder.name)
        missing = f", {bare:,} without a caption" if bare else ", all with a caption"
        facts = f"<b>{count:,}</b> picture{'s' * (count != 1)}{missing if count else ''}"
        return {
            view.facts: f'<p class="at-none">{facts}</p>',
            view.tag: gr.Dropdown(choices, value=kept),
            view.undo: gr.Button(visible=bool(undoable)),
            view.count: self.count(values),
            **self._page(values, values[view.place] if place is None else place),
        }

    def _page(self, values: Values, place: int) -> dict[Any, Any]:
        view = self._view
        name = self._name(values)
        if not name:
            return self._nothing()
        with in_words("Not shown"):
            tiles = self._matching(values)
        total = len(tiles)
        place = max(0, min(int(place), (total - 1) // PAGE * PAGE))
        shown = tiles[place : place + PAGE]
        last = place + len(shown)
        several = total > PAGE
        return {
            view.grid: gallery.page(name, shown, values[view.picked]),
            view.previous: gr.Button(visible=several, interactive=place > 0),
            view.where: f"{place + 1:,}–{last:,} of {total:,}" if several else "",
            view.next: gr.Button(visible=several, interactive=last < total),
            view.place: place,
        }

    def _matching(self, values: Values) -> list[Tile]:
        view = self._view
        folder = self._folder(values)
        captions = editing.read_captions(folder)
        facts = describe(folder, find_pictures(folder))
        text = str(values[view.search] or "")[:_LONGEST].casefold()
        which = values[view.which]
        return [
            Tile(name, facts[name].sha256, facts[name].size, caption, facts[name].problem)
            for name, caption in captions.items()
            if name in facts
            and text in f"{name}\n{caption}".casefold()
            and (not which or bool(caption) == (which == "written"))
        ]


def _captioner(able: list[str]) -> str:
    if able:
        return f'<p class="at-none">By {html.escape(able[0])}, on this machine.</p>'
    return (
        f'<p class="at-none">Put the folder of a captioning model (BLIP or GIT, with safetensors '
        f"weights) into <code>models/{FOLDER}/</code> of the data folder, or fetch one on the "
        "Models tab; it then writes captions here.</p>"
    )


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.5


def _misnamed(sets: PictureSets) -> str:
    """What to do about folders that no request can name; a blank for none."""
    wrong = sets.misnamed()
    if not wrong:
        return " "
    names = ", ".join(repr(name[:40]) for name in wrong[:_TOLD])
    return (
        f"Not among these, for their names: {names}. Rename the folders: letters, numbers, blanks, "
        "and . + - _ between them."
    )
