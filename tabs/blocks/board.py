"""The leaderboard: who reads how well, each evaluation's report, and any two side by side."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from studio.errors import AtelierError, DataError
from studio.reader.breakdown import Difference, difference
from studio.reader.comparison import Compared, Right, compare, counts, only
from studio.services import Services
from studio.store.belongings import Sort
from studio.store.submissions import SubmissionRow
from tabs.blocks import compared, sharing, standings
from tabs.blocks.maker import QUIET, in_words
from tabs.blocks.report import tiles
from tabs.theme import script

PAGE = 20
"""Questions at a time."""
_LONGEST_SEARCH = 1000
_NOBODY = ("Nobody", 0)
_DELETE, _SURE = "Delete", "Press again to delete for good"
_WORKING = '<div class="at-reading"><div class="at-empty">Counting …</div></div>'
_SEEN = """() => {
  const part = document.getElementById("%s");
  if (part) part.scrollIntoView({ block: "start", behavior: "smooth" });
}"""
"""Brings what is far below on a page into sight."""

Report = Callable[[int, str], str]
"""The report of a submission as HTML, by its id and the name of its data set's file."""


@dataclass(frozen=True)
class Board:
    """Components of the panel.

    picked: id of the submission in question. sure: the one that the next press deletes. offset: of
    the first question of a comparison's page.
    """

    data_set: gr.Dropdown
    history: gr.Checkbox
    table: gr.HTML
    picked: gr.State
    sure: gr.State
    chosen: gr.Column
    facts: gr.HTML
    other: gr.Dropdown
    delete: gr.Button
    sharing: sharing.Sharing
    report: gr.HTML
    versus: gr.Column
    summary: gr.HTML
    right: gr.Radio
    search: gr.Textbox
    questions: gr.HTML
    previous: gr.Button
    count: gr.HTML
    next: gr.Button
    offset: gr.State

    @property
    def shown(self) -> list[Any]:
        """All that a pick changes."""
        return [self.picked, self.sure, self.chosen, self.facts, self.other, self.delete, *self.two]

    @property
    def two(self) -> list[Any]:
        """All that another submission beside it changes."""
        return [self.report, self.versus, self.summary, self.right, self.search, *self.page]

    @property
    def page(self) -> list[Any]:
        """All that turning a page of questions changes."""
        return [self.questions, self.previous, self.count, self.next, self.offset]


def build() -> Board:
    """Lay the panel out."""
    with gr.Row(elem_classes="at-sieve"):
        data_set = gr.Dropdown([], label="Data set", min_width=240, elem_id="at-board-data")
        history = gr.Checkbox(
            False,
            label="All submissions",
            info="Otherwise the best of each model and person",
            min_width=240,
            elem_id="at-board-history",
        )
    table = gr.HTML(
        standings.EMPTY, js_on_load=script("rows"), padding=False, elem_id="at-board-table"
    )
    with gr.Column(visible=False, elem_id="at-board-chosen") as chosen:
        facts = gr.HTML("", padding=False, elem_id="at-board-facts")
        with gr.Row(elem_classes="at-sieve"):
            other = gr.Dropdown(
                [_NOBODY], value=0, label="Compare with", min_width=240, elem_id="at-board-other"
            )
            delete = gr.Button(_DELETE, size="sm", min_width=120, elem_id="at-board-delete")
        shared = sharing.build("at-board")
        report = gr.HTML("", padding=False, elem_id="at-board-report")
        with gr.Column(visible=False, elem_id="at-board-versus") as versus:
            summary = gr.HTML("", padding=False)
            with gr.Row(elem_classes="at-sieve"):
                right = gr.Radio([("All", "")], value="", label="Right", min_width=320, scale=2)
                search = gr.Textbox(
                    label="Search",
                    placeholder="in questions, passages and answers",
                    max_lines=1,
                    min_width=240,
                    elem_id="at-board-search",
                )
            questions = gr.HTML("", padding=False, elem_id="at-board-questions")
            with gr.Row(elem_classes="at-turn"):
                previous = gr.Button("Previous", size="sm", interactive=False)
                count = gr.HTML("", padding=False)
                following = gr.Button("Next", size="sm", interactive=False)
    return Board(
        data_set=data_set,
        history=history,
        table=table,
        picked=gr.State(None),
        sure=gr.State(None),
        chosen=chosen,
        facts=facts,
        other=other,
        delete=delete,
        sharing=shared,
        report=report,
        versus=versus,
        summary=summary,
        right=right,
        search=search,
        questions=questions,
        previous=previous,
        count=count,
        next=following,
        offset=gr.State(0),
    )


@dataclass(frozen=True)
class _Comparison:
    questions: tuple[Compared, ...]
    numbers: dict[Right, int]
    apart: Difference


class BoardHandlers:
    """What the panel's controls do."""

    def __init__(self, services: Services, view: Board, report: Report):
        self._services = services
        self._board = services.leaderboard
        self._view = view
        # A submission never changes and its id is never given anew.
        self._reports = lru_cache(maxsize=16)(report)
        self._comparisons = lru_cache(maxsize=2)(self._comparison)

    def lists(
        self, data_set: str | None, history: bool, picked: int | None
    ) -> tuple[gr.Dropdown, str]:
        """The data sets and the table of today; what is chosen stays as long as it is there."""
        found = self._board.data_sets()
        names = [each.name for each in found]
        shown = data_set if data_set in names else (names[0] if names else None)
        choices = [
            (f"{e.name} ({e.submissions:,} submission{'s' * (e.submissions != 1)})", e.name)
            for e in found
        ]
        return gr.Dropdown(choices, value=shown), self.table(shown, history, picked)

    def table(self, data_set: str | None, history: bool, picked: int | None) -> str:
        """The ranks on a data set as HTML."""
        found = self._board.ranked(data_set, bool(history)) if data_set else ()
        return standings.table(found, picked)

    def pick(self, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        """A submission's facts at once, then its report."""
        view = self._view
        told = str(getattr(event, "pick", ""))
        with in_words():
            row = self._board.get(int(told) if told.isdecimal() and len(told) < 19 else 0)
        others = [
            (f"{each.model} · F1 {each.f1:.2f} · {standings.date(each.created_at)}", each.id)
            for each in self._peers(row)
        ]
        yield {
            view.picked: row.id,
            view.sure: None,
            view.chosen: gr.Column(visible=True),
            view.facts: standings.facts(row),
            view.other: gr.Dropdown([_NOBODY, *others], value=0),
            view.delete: gr.Button(_DELETE, variant="secondary"),
            view.report: gr.HTML(_WORKING, visible=True),
            view.versus: gr.Column(visible=False),
        }
        yield {view.report: gr.HTML(self._report(row), visible=True)}

    def compare(self, picked: int | None, other: int | None) -> dict[Any, Any]:
        """The picked submission beside another; its own report where there is no other."""
        view = self._view
        with in_words("Not compared"):
            row = self._picked(picked)
            if not other:
                return {
                    view.report: gr.HTML(self._report(row), visible=True),
                    view.versus: gr.Column(visible=False),
                }
            second = self._board.get(int(other))
            found = self._found(row, second)
        summary = compared.summary(_title(row), _title(second), found.numbers, found.apart)
        return {
            view.report: gr.HTML(visible=False),
            view.versus: gr.Column(visible=True),
            view.summary: f'<div class="at-reading">{summary}</div>',
            view.right: gr.Radio(compared.choices(found.numbers), value=""),
            view.search: "",
            **self.turn(0, picked, other, "", ""),
        }

    def matching(
        self, picked: int | None, other: int | None, right: str, search: str
    ) -> dict[Any, Any]:
        """The first questions that match."""
        return self.turn(0, picked, other, right, search)

    def earlier(
        self, offset: int, picked: int | None, other: int | None, right: str, search: str
    ) -> dict[Any, Any]:
        """The page before."""
        return self.turn(offset - PAGE, picked, other, right, search)

    def later(
        self, offset: int, picked: int | None, other: int | None, right: str, search: str
    ) -> dict[Any, Any]:
        """The page after."""
        return self.turn(offset + PAGE, picked, other, right, search)

    def turn(
        self, offset: int, picked: int | None, other: int | None, right: str, search: str
    ) -> dict[Any, Any]:
        """The questions from a place on."""
        view = self._view
        if not other:
            return {view.offset: 0}
        with in_words("Not compared"):
            found = self._found(self._picked(picked), self._board.get(int(other)))
        wanted = Right(right) if right in list(Right) else None
        matching = only(found.questions, wanted, (search or "")[:_LONGEST_SEARCH])
        offset = max(0, min(offset, (len(matching) - 1) // PAGE * PAGE))
        page = matching[offset : offset + PAGE]
        last = offset + len(page)
        return {
            view.questions: compared.questions(page),
            view.previous: gr.Button(interactive=offset > 0),
            view.count: f"{offset + 1:,}–{last:,} of {len(matching):,}" if page else "",
            view.next: gr.Button(interactive=last < len(matching)),
            view.offset: offset,
        }

    def delete(self, picked: int | None, sure: int | None) -> dict[Any, Any]:
        """Delete the picked submission at the second press."""
        view = self._view
        with in_words("Not deleted"):
            row = self._picked(picked)
            if sure != row.id:
                return {view.sure: row.id, view.delete: gr.Button(_SURE, variant="stop")}
            self._board.delete(row.id)
        gr.Info(f"{html.escape(row.model)} is deleted.", title="Deleted", duration=4)
        return {
            view.picked: None,
            view.sure: None,
            view.chosen: gr.Column(visible=False),
            view.delete: gr.Button(_DELETE, variant="secondary"),
        }

    def _picked(self, picked: int | None) -> SubmissionRow:
        if picked is None:
            raise AtelierError("Pick a submission first.")
        return self._board.get(picked)

    def _peers(self, row: SubmissionRow) -> list[SubmissionRow]:
        """All others on the same file, best first."""
        lines = self._board.ranked(row.data_set, history=True)
        rows = [line.submission for line in lines if line.submission is not None]
        return [e for e in rows if e.id != row.id and e.data_set_sha256 == row.data_set_sha256]

    def _report(self, row: SubmissionRow) -> str:
        """All of an evaluation, or its scores with a sentence where the questions are missing."""
        try:
            return self._reports(row.id, self._file(row))
        except AtelierError as error:
            said = f'<p class="at-message note">{html.escape(str(error))}</p>'
            return f'<div class="at-reading">{tiles(row.scores)}{said}</div>'

    def _file(self, row: SubmissionRow) -> str:
        """The name of the file that a submission was scored on."""
        name = self._services.data_sets.having(row.data_set_sha256)
        if not name:
            raise DataError(
                f"The questions of {row.data_set} are needed for this, and no file under Data sets "
                f"has the sha256 {row.data_set_sha256[:12]}…; add it there."
            )
        return name

    def _found(self, a: SubmissionRow, b: SubmissionRow) -> _Comparison:
        return self._comparisons(a.id, b.id, self._file(a))

    def _comparison(self, a: int, b: int, data_set: str) -> _Comparison:
        squad = self._services.data_sets.get(data_set)
        mine, theirs = self._board.scores(a, squad), self._board.scores(b, squad)
        found = compare(squad, mine, theirs)
        return _Comparison(found, counts(found), difference(mine, theirs))


def wire(view: Board, services: Services, tab: gr.Tab, report: Report) -> BoardHandlers:
    """Connect the controls; report: what the Benchmark panel shows of a submission."""
    handlers = BoardHandlers(services, view, report)
    latest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": None, **QUIET}
    sought = [view.data_set, view.history, view.picked]
    own = sharing.Controls(own=[view.delete])
    sharing.wire(view.sharing, services, view.picked, Sort.SUBMISSION, own)
    tab.select(handlers.lists, sought, [view.data_set, view.table], **latest)
    for changed in (view.data_set.input, view.history.input):
        changed(handlers.table, sought, [view.table], **latest)
    view.table.pick(handlers.pick, None, view.shown, **latest).then(
        None, None, None, js=_SEEN % "at-board-chosen"
    )
    pair = [view.picked, view.other]
    slow = {**latest, "show_progress": "minimal", "show_progress_on": view.facts}
    view.other.input(handlers.compare, pair, view.two, **slow)
    filters = [*pair, view.right, view.search]
    for changed in (view.right.input, view.search.change):
        changed(handlers.matching, filters, view.page, **latest)
    for button, turned in ((view.previous, handlers.earlier), (view.next, handlers.later)):
        button.click(turned, [view.offset, *filters], view.page, **latest).then(
            None, None, None, js=_SEEN % "at-board-versus"
        )
    view.delete.click(
        handlers.delete,
        [view.picked, view.sure],
        [view.picked, view.sure, view.chosen, view.delete],
        **QUIET,
    ).then(handlers.lists, sought, [view.data_set, view.table], **QUIET)
    return handlers


def _title(row: SubmissionRow) -> str:
    who = f" by {row.who}" if row.who else ""
    return f"{row.model}{who} · F1 {row.f1:.2f} · {standings.date(row.created_at)}"
