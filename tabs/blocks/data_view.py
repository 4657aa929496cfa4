"""Data sets looked into: figures, passages with their questions, a search, faults and repairs."""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from studio.errors import AtelierError
from studio.reader.question_words import QUESTION_WORDS
from studio.reader.squad import Squad, squad_json
from studio.services import Services
from studio.store.belongings import Sort
from tabs.blocks import data_facts, sharing
from tabs.blocks.data_lists import PAGE, Key, Kind, Page, Sought, Worked
from tabs.blocks.maker import QUIET, in_words
from tabs.forms import Values
from tabs.theme import script

ARTICLES = 1000
"""Articles that the list names; all others are reached by search and by turning pages."""
_LONGEST_SEARCH = 1000
_EMPTY = """<div class="at-reading"><div class="at-empty"><strong>Look into a data set</strong>
Add a file in SQuAD's format, or download an official set under Benchmark.</div></div>"""
_READING = '<p class="at-none">Reading …</p>'
_COUNTING = '<p class="at-none">Counting …</p>'
_SHOWS = [("All", ""), ("With an answer", "yes"), ("Without", "no")]
_NO_LIST = ("", "")
_DELETE, _SURE = "Delete", "Press again to delete for good"
_SEEN = """() => {
  const part = document.getElementById("%s");
  if (part) part.scrollIntoView({ block: "%s", behavior: "smooth" });
}"""


@dataclass(frozen=True)
class DataView:
    """Components of the panel.

    place: indices of article and paragraph. listing: what the list shows, and the name of the
    repaired copy. offset: of its first line. sure: the data set that the next press deletes.
    """

    data_set: gr.Dropdown
    upload: gr.UploadButton
    file: gr.HTML
    delete: gr.Button
    sharing: sharing.Sharing
    sure: gr.State
    search: gr.Textbox
    answerable: gr.Radio
    word: gr.Dropdown
    article: gr.Dropdown
    check: gr.Button
    repair: gr.Button
    figures: gr.HTML
    plots: gr.HTML
    found: gr.Column
    rows: gr.HTML
    turn: gr.Row
    previous: gr.Button
    count: gr.HTML
    next: gr.Button
    listing: gr.State
    offset: gr.State
    browse: gr.Column
    back: gr.Button
    where: gr.HTML
    on: gr.Button
    passage: gr.HTML
    place: gr.State

    @property
    def inputs(self) -> set[Any]:
        """All that handlers read."""
        chosen = {self.data_set, self.search, self.answerable, self.word, self.article}
        return chosen | {self.listing, self.offset, self.place, self.sure}

    @property
    def listed(self) -> list[Any]:
        """All that a list changes."""
        turning = [self.previous, self.count, self.next]
        return [self.found, self.rows, self.turn, *turning, self.listing, self.offset]

    @property
    def read(self) -> list[Any]:
        """All that another paragraph changes."""
        return [self.browse, self.article, self.back, self.where, self.on, self.passage, self.place]

    @property
    def chosen(self) -> list[Any]:
        """All that another data set changes."""
        own = [self.data_set, self.file, self.delete, self.sure, self.figures, self.plots]
        return [*own, self.search, self.answerable, self.word, *self.listed, *self.read]


def build() -> DataView:
    """Lay the panel out."""
    made: dict[str, Any] = {}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            _build_controls(made)
        with gr.Column(min_width=0, elem_classes="at-result"):
            made["figures"] = gr.HTML(_EMPTY, padding=False, elem_id="at-data-figures")
            with gr.Column(visible=False, elem_id="at-data-found") as made["found"]:
                made["rows"] = gr.HTML(
                    "", js_on_load=script("rows"), padding=False, elem_id="at-data-rows"
                )
                with gr.Row(visible=False, elem_classes="at-turn") as made["turn"]:
                    made["previous"] = gr.Button(f"Previous {PAGE}", size="sm")
                    made["count"] = gr.HTML("", padding=False)
                    made["next"] = gr.Button(f"Next {PAGE}", size="sm")
            with gr.Column(visible=False, elem_id="at-data-passage") as made["browse"]:
                with gr.Row(elem_classes="at-turn"):
                    made["back"] = gr.Button("Previous", size="sm", elem_id="at-data-back")
                    made["where"] = gr.HTML("", padding=False)
                    made["on"] = gr.Button("Next", size="sm", elem_id="at-data-on")
                made["passage"] = gr.HTML("", js_on_load=script("passage"), padding=False)
            made["plots"] = gr.HTML("", padding=False, elem_id="at-data-plots")
    start = {"sure": None, "listing": _NO_LIST, "offset": 0, "place": (0, 0)}
    made |= {name: gr.State(value) for name, value in start.items()}
    return DataView(**made)


def _build_controls(made: dict[str, Any]) -> None:
    made["data_set"] = gr.Dropdown([], label="Data set", elem_id="at-data-name")
    with gr.Row(elem_classes=["at-acts", "at-tight"]):
        made["upload"] = gr.UploadButton(
            "Add (.json, .json.gz)",
            file_types=[".json", ".gz"],
            size="sm",
            min_width=140,
            elem_id="at-data-upload",
        )
        made["file"] = gr.HTML("", padding=False, elem_id="at-data-file")
        made["delete"] = gr.Button(
            _DELETE, size="sm", min_width=90, visible=False, elem_id="at-data-delete"
        )
    made["sharing"] = sharing.build("at-data")
    made["search"] = gr.Textbox(
        label="Search",
        placeholder="in questions, answers and passages",
        max_lines=1,
        elem_id="at-data-search",
    )
    made["answerable"] = gr.Radio(_SHOWS, value="", label="Questions", elem_id="at-data-answerable")
    made["word"] = gr.Dropdown(
        [("Any", ""), *((word, word) for word in QUESTION_WORDS)],
        value="",
        label="Question word",
        elem_id="at-data-word",
    )
    made["article"] = gr.Dropdown([], label="Article", elem_id="at-data-article")
    with gr.Row(elem_classes="at-run-row"):
        made["check"] = gr.Button("Check", elem_id="at-data-check")
        made["repair"] = gr.Button("Write a repaired copy", elem_id="at-data-repair")


class DataHandlers:
    """What the panel's controls do; never is more shown than one paragraph or page of a list."""

    def __init__(self, services: Services, view: DataView):
        self._sets = services.data_sets
        self._view = view
        self._worked = Worked(services.data_sets)

    def lists(self, values: Values) -> Iterator[dict[Any, Any]]:
        """The data sets of today; what is chosen stays, and the first is opened at first."""
        view, names = self._view, self._sets.names()
        name = values[view.data_set]
        if name in names:
            yield {view.data_set: gr.Dropdown(names, value=name)}
        elif names:
            yield {view.data_set: gr.Dropdown(names, value=names[0])}
            yield from self._opened(names[0])
        else:
            yield self._nothing()

    def choose(self, name: str | None) -> Iterator[dict[Any, Any]]:
        """Open a data set: its first paragraph at once, then its figures."""
        yield from self._opened(name or "")

    def add(self, path: str) -> Iterator[dict[Any, Any]]:
        """Keep an uploaded file and open it."""
        with in_words("Not added"):
            file = Path(path)
            name = self._sets.add(file.read_bytes(), file.name)
        yield {self._view.data_set: gr.Dropdown(self._sets.names(), value=name)}
        yield from self._opened(name)

    def delete(self, values: Values) -> Iterator[dict[Any, Any]]:
        """Delete the data set's file at the second press."""
        view = self._view
        name = str(values[view.data_set] or "")
        if values[view.sure] != name:
            yield {view.sure: name, view.delete: gr.Button(_SURE, variant="stop")}
            return
        with in_words("Not deleted"):
            self._sets.remove(name)
        gr.Info(f"{html.escape(name)} is deleted.", title="Deleted", duration=4)
        yield from self.lists({**values, view.data_set: None})

    def article(self, values: Values) -> dict[Any, Any]:
        """An article's first paragraph."""
        with in_words("Not shown"):
            squad = self._squad(values)
            chosen = values[self._view.article]
            places = [place for place in _places(squad) if place[0] == chosen]
            return self._paragraph(squad, places[0] if places else (0, 0))

    def back(self, values: Values) -> dict[Any, Any]:
        """The paragraph before."""
        return self._step(values, -1)

    def on(self, values: Values) -> dict[Any, Any]:
        """The paragraph after."""
        return self._step(values, 1)

    def pick(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """The paragraph that a line of the list leads to, its question marked."""
        told = str(getattr(event, "pick", ""))[:60].split("/")
        with in_words("Not shown"):
            place = [int(each) for each in told if each.isdecimal()]
            return self._paragraph(self._squad(values), place[:2], *place[2:3])

    def search(self, values: Values) -> dict[Any, Any]:
        """The questions that match; no list where nothing is looked for."""
        view = self._view
        asked = any(values[each] for each in (view.search, view.answerable, view.word))
        return self._list(values, Kind.SEARCH if asked else Kind.NOTHING, 0)

    def check(self, values: Values) -> dict[Any, Any]:
        """All faults with their places."""
        return self._list(values, Kind.FAULTS, 0)

    def repair(self, values: Values) -> dict[Any, Any]:
        """Add a repaired copy under a name of its own, and list what was done."""
        view = self._view
        with in_words("Not repaired"):
            key, copy = self._key(values), ""
            mended, done = self._worked.repaired(key)
            if done:
                content = json.dumps(squad_json(mended)).encode()
                copy = self._sets.add(content, f"{key[1]} repaired.json")
        names = gr.Dropdown(self._sets.names(), value=key[1])
        return {view.data_set: names, **self._list(values, Kind.REPAIRS, 0, copy)}

    def earlier(self, values: Values) -> dict[Any, Any]:
        """The lines before."""
        return self._turn(values, -PAGE)

    def later(self, values: Values) -> dict[Any, Any]:
        """The lines after."""
        return self._turn(values, PAGE)

    def _squad(self, values: Values) -> Squad:
        name = values[self._view.data_set]
        if not name:
            raise AtelierError("Choose a data set first.")
        return self._sets.get(str(name))

    def _key(self, values: Values) -> Key:
        return self._squad(values).sha256, str(values[self._view.data_set])

    def _nothing(self) -> dict[Any, Any]:
        view = self._view
        return {
            view.data_set: gr.Dropdown([], value=None),
            view.file: "",
            view.delete: gr.Button(_DELETE, variant="secondary", visible=False),
            view.sure: None,
            view.figures: _EMPTY,
            view.plots: "",
            view.found: gr.Column(visible=False),
            view.browse: gr.Column(visible=False),
            view.article: gr.Dropdown([], value=None),
        }

    def _opened(self, name: str) -> Iterator[dict[Any, Any]]:
        view = self._view
        if not name:
            yield self._nothing()
            return
        yield {view.figures: _READING}
        link = f'<a class="at-act" href="data_sets/{quote(name, safe="")}" download>Download</a>'
        fresh = {
            view.file: link,
            view.delete: gr.Button(_DELETE, variant="secondary", visible=True),
            view.sure: None,
            view.search: "",
            view.answerable: "",
            view.word: "",
            view.found: gr.Column(visible=False),
            view.listing: _NO_LIST,
        }
        try:
            squad = self._sets.get(name)
        except AtelierError as error:
            said = f'<p class="at-message">{html.escape(str(error))}</p>'
            hidden = {view.plots: "", view.browse: gr.Column(visible=False)}
            yield {**fresh, **hidden, view.figures: said}
            return
        first = next(iter(_places(squad)), (0, 0))
        shown = self._paragraph(squad, first)
        shown[view.article] = gr.Dropdown(
            _titles(squad), value=first[0] if squad.articles else None
        )
        yield {**fresh, **shown, view.figures: _COUNTING, view.plots: ""}
        found = self._worked.statistics((squad.sha256, name))
        yield {view.figures: data_facts.figures(found), view.plots: data_facts.plots(found)}

    def _step(self, values: Values, by: int) -> dict[Any, Any]:
        with in_words("Not shown"):
            squad = self._squad(values)
            places = _places(squad)
            here = tuple(values[self._view.place])
            at = places.index(here) + by if here in places else 0
            return self._paragraph(squad, places[max(0, min(at, len(places) - 1))])

    def _paragraph(
        self, squad: Squad, place: Sequence[int], picked: int | None = None
    ) -> dict[Any, Any]:
        """A place as the panel shows it; where there is none, nothing is."""
        view = self._view
        places = _places(squad)
        here = tuple(place[:2])
        if here not in places:
            return {view.browse: gr.Column(visible=False)}
        at = places.index(here)
        a, p = places[at]
        article = squad.articles[a]
        title = html.escape(_title(squad, a))
        where = (
            f'<b dir="auto">{title}</b> paragraph {p + 1:,} of {len(article.paragraphs):,}'
            f" <small>{at + 1:,} of {len(places):,} in all</small>"
        )
        body = data_facts.paragraph(article.paragraphs[p], (a, p), picked)
        listed: Any = a
        if a >= ARTICLES:
            listed = gr.Dropdown([*_titles(squad), (_title(squad, a), a)], value=a)
        return {
            view.browse: gr.Column(visible=True),
            view.article: listed,
            view.back: gr.Button(interactive=at > 0),
            view.where: f'<p class="at-where">{where}</p>',
            view.on: gr.Button(interactive=at + 1 < len(places)),
            view.passage: f'<div class="at-reading at-paragraph">{body}</div>',
            view.place: (a, p),
        }

    def _turn(self, values: Values, by: int) -> dict[Any, Any]:
        kind, copy = values[self._view.listing]
        return self._list(values, Kind(kind), max(0, values[self._view.offset] + by), copy)

    def _list(self, values: Values, kind: Kind, first: int, copy: str = "") -> dict[Any, Any]:
        """One page of a list; copy: name of the repaired data set."""
        view = self._view
        if kind is Kind.NOTHING:
            return {view.found: gr.Column(visible=False), view.listing: _NO_LIST}
        with in_words():
            page = self._page(values, kind, first, copy)
        last = first + page.shown
        return {
            view.found: gr.Column(visible=True),
            view.rows: page.html,
            view.turn: gr.Row(visible=page.total > PAGE),
            view.previous: gr.Button(interactive=first > 0),
            view.count: f"{first + 1:,}–{last:,} of {page.total:,}",
            view.next: gr.Button(interactive=last < page.total),
            view.listing: (kind.value, copy),
            view.offset: first,
        }

    def _page(self, values: Values, kind: Kind, first: int, copy: str) -> Page:
        view, key = self._view, self._key(values)
        if kind is Kind.FAULTS:
            return self._worked.wrong(key, first)
        if kind is Kind.REPAIRS:
            return self._worked.mended(key, copy, first)
        text = str(values[view.search] or "")[:_LONGEST_SEARCH]
        answerable = {"yes": True, "no": False}.get(values[view.answerable])
        return self._worked.found(key, Sought(text, answerable, values[view.word] or None), first)


def _places(squad: Squad) -> list[tuple[int, int]]:
    """All paragraphs, in the order of the file."""
    return [
        (a, p) for a, article in enumerate(squad.articles) for p in range(len(article.paragraphs))
    ]


def _title(squad: Squad, article: int) -> str:
    return data_facts.title(squad.articles[article].title)


def _titles(squad: Squad) -> list[tuple[str, int]]:
    return [(_title(squad, a), a) for a in range(min(ARTICLES, len(squad.articles)))]


def wire(view: DataView, services: Services, tab: gr.Tab) -> DataHandlers:
    """Connect the controls."""
    handlers = DataHandlers(services, view)
    below = _SEEN % ("at-data-found", "nearest")
    latest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": None, **QUIET}
    # Of a large file, faults take some seconds and repairs some more.
    slow = {**latest, "show_progress": "minimal", "show_progress_on": view.figures}
    controls = sharing.Controls(own=[view.delete], members=[view.repair, view.upload])
    sharing.wire(view.sharing, services, view.data_set, Sort.DATA_SET, controls)
    tab.select(handlers.lists, view.inputs, view.chosen, **latest)
    view.data_set.input(handlers.choose, [view.data_set], view.chosen, **latest)
    view.upload.upload(handlers.add, [view.upload], view.chosen, **latest)
    view.delete.click(handlers.delete, view.inputs, view.chosen, **QUIET)
    view.article.input(handlers.article, view.inputs, view.read, **latest)
    for button, step in ((view.back, handlers.back), (view.on, handlers.on)):
        button.click(step, view.inputs, view.read, **latest)
    view.rows.pick(handlers.pick, view.inputs, view.read, **latest).then(
        None, None, None, js=_SEEN % ("at-data-passage", "start")
    )
    for changed in (view.search.change, view.answerable.input, view.word.input):
        changed(handlers.search, view.inputs, view.listed, **latest)
    for pressed, act in (
        (view.check, handlers.check),
        (view.previous, handlers.earlier),
        (view.next, handlers.later),
    ):
        pressed.click(act, view.inputs, view.listed, **slow).then(None, None, None, js=below)
    view.repair.click(handlers.repair, view.inputs, [view.data_set, *view.listed], **slow).then(
        None, None, None, js=below
    )
    return handlers
