"""Whose a thing is and who may use it, shown where it is picked; only with accounts."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.models.rights import Right
from studio.password import has_accounts
from studio.people import Role, acting
from studio.services import Services
from studio.store.belongings import Sort
from tabs.blocks.maker import QUIET, in_words
from tabs.events import apart

ADMINISTRATORS, MEMBERS = "at-administrators", "at-members"
"""Classes of controls that are for whom is named there, so that the page can say why they rest."""
_LIMITED = ("model", "LoRA", "embedding", "reader")
"""Kinds whose use administrators limit to some people."""
_NOBODYS = {Sort.PICTURES: "Of the studio itself", Sort.RUN: "Of the studio itself"}


@dataclass(frozen=True)
class Sharing:
    """Components of the group; `thing` is the kind and the id of what it tells of, or None."""

    box: gr.Column
    words: gr.HTML
    share: gr.Button
    people: gr.Dropdown
    thing: gr.State

    @property
    def shown(self) -> list[Any]:
        """All that another thing changes."""
        return [self.box, self.words, self.share, self.people, self.thing]


@dataclass(frozen=True)
class Controls:
    """Other controls that rest where they are not allowed.

    own: for whoever may change the thing. members: for all but viewers. administrators: for them.
    """

    own: Sequence[Any] = ()
    members: Sequence[Any] = ()
    administrators: Sequence[Any] = ()

    @property
    def all(self) -> list[Any]:
        """All of them."""
        return [*self.own, *self.members, *self.administrators]

    def offered(self, right: Right | None) -> dict[Any, Any]:
        """Which of them can be pressed."""
        person = acting()
        makes, rules = person.role is not Role.VIEWER, person.is_administrator
        own = right is not None and makes and person.sees(right.owner)
        return {
            **{each: gr.update(interactive=own) for each in self.own},
            **{each: gr.update(interactive=makes) for each in self.members},
            **{each: gr.update(interactive=rules) for each in self.administrators},
        }


def build(name: str) -> Sharing:
    """Lay the group out; name: of the place where it stands, for its ids."""
    with gr.Column(visible=False, elem_classes="at-sharing", elem_id=f"{name}-sharing") as box:
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            words = gr.HTML("", padding=False, elem_id=f"{name}-whose")
            share = gr.Button("Share", size="sm", min_width=90, elem_id=f"{name}-share")
        people = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            label="Limited to",
            info="Nobody chosen: for everybody. Its owner and administrators always may.",
            elem_id=f"{name}-people",
        )
    return Sharing(box, words, share, people, gr.State(None))


class SharingHandlers:
    """What the group's controls do. kind: of all its things, "" where they say it themselves."""

    def __init__(self, services: Services, view: Sharing, kind: str, controls: Controls):
        self._services = services
        self._view = view
        self._kind = kind
        self._controls = controls

    def show(self, picked: Any) -> dict[Any, Any]:
        """Whose the picked thing is, and what may be done about it."""
        thing = self._thing(picked)
        try:
            right = self._services.rights.get(*thing) if thing else None
        except AtelierError:  # it is no thing that is shared, or has just gone
            right = None
        if right is None:
            return {
                self._view.box: gr.Column(visible=False),
                self._view.thing: None,
                **self._controls.offered(None),
            }
        return {**self._shown(right), **self._controls.offered(right)}

    def share(self, thing: tuple[str, str] | None) -> dict[Any, Any]:
        """Share it with everybody, or stop that."""
        with in_words("Not shared"):
            right = self._services.rights.get(*_both(thing))
            self._services.rights.share(right.kind, right.id, not right.shared)
            return self._shown(self._services.rights.get(right.kind, right.id))

    def limit(self, thing: tuple[str, str] | None, people: Sequence[int]) -> dict[Any, Any]:
        """Limit its use to people."""
        with in_words("Not limited"):
            kind, item = _both(thing)
            self._services.rights.limit(kind, item, [int(each) for each in people or ()])
            told = self._shown(self._services.rights.get(kind, item))
        told.pop(self._view.people)  # whose list may still be open
        return told

    def _thing(self, picked: Any) -> tuple[str, str] | None:
        if not picked:
            return None
        return (self._kind, str(picked)) if self._kind else (str(picked[0]), str(picked[1]))

    def _shown(self, right: Right) -> dict[Any, Any]:
        view, person = self._view, acting()
        names = self._services.accounts.names([right.owner, *right.people])
        limits = person.is_administrator and right.kind in _LIMITED
        choices = []
        if limits:
            rows = self._services.accounts.listed()
            choices = [(row.name, row.id) for row in rows if row.role is not Role.ADMINISTRATOR]
        known = {each for _, each in choices}
        return {
            view.box: gr.Column(visible=True),
            view.words: f'<p class="at-whose">{html.escape(told(right, names))}</p>',
            view.share: gr.Button(
                "Stop sharing" if right.shared else "Share with everybody",
                visible=right.may_share,
            ),
            view.people: gr.Dropdown(
                choices, value=[each for each in right.people if each in known], visible=limits
            ),
            view.thing: (right.kind, right.id),
        }


def told(right: Right, names: dict[int, str]) -> str:
    """Whose a thing is and who may use it, in words; names: of people, by their ids."""
    person = acting()
    if right.owner and right.owner == person.id:
        whose = "Yours, shared with everybody" if right.shared else "Yours alone"
    elif right.owner:
        owner = names.get(right.owner, "Somebody who has gone")
        whose = f"Made by {owner}, " + ("shared with everybody" if right.shared else "not shared")
    else:
        whose = _NOBODYS.get(right.kind, "Everybody's")  # type: ignore[call-overload]
    if right.people and person.is_administrator:
        whose += f", limited to {', '.join(names.get(each, 'somebody') for each in right.people)}"
    elif right.people:
        whose += ", limited to some people"
    if not person.is_administrator and right.owner != person.id:
        whose += "; you may use it, not change it"
    return f"{whose}."


def wire(
    view: Sharing, services: Services, picked: Any, kind: str = "", controls: Controls | None = None
) -> None:
    """Connect the group to what is picked: a state or a list; nothing without accounts.

    picked: its value is an id of this kind, or a kind with an id. controls: that rest where the
    person may not use them.
    """
    if not has_accounts(services.settings):
        return
    controls = controls or Controls()
    handlers = SharingHandlers(services, view, kind, controls)
    latest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": None, **QUIET}
    picked.change(handlers.show, [picked], [*view.shown, *controls.all], **latest)
    view.share.click(handlers.share, [view.thing], view.shown, **QUIET)
    view.people.input(handlers.limit, [view.thing, view.people], view.shown, **latest)


def offer(controls: Controls, services: Services, tab: gr.Tab) -> None:
    """Let controls rest that somebody's role does not allow, when they open a tab."""
    if has_accounts(services.settings):
        apart(tab.select).then(lambda: controls.offered(None), None, controls.all, **QUIET)


def rest_for_viewers(starts: list[gr.Button], services: Services, page: gr.Blocks) -> None:
    """Let the buttons that begin work rest from the start for who may only look."""
    if has_accounts(services.settings):
        rest = gr.update(interactive=False)
        page.load(
            lambda: [rest if acting().role is Role.VIEWER else gr.skip()] * len(starts),
            None,
            starts,
            queue=False,  # as in the header: no stream for it
            show_progress="hidden",
            api_visibility="private",
        )


def _both(thing: tuple[str, str] | None) -> tuple[str, str]:
    if thing is None:
        raise AtelierError("Pick something first.")
    return thing[0], thing[1]
