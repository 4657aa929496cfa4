"""Who may use what: what is theirs alone, what is shared, and what is limited to some."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from studio.errors import Forbidden, NotFound, RequestError
from studio.models.catalogue import Catalogue
from studio.models.library import Library
from studio.people import Deed, Owned, Role, acting, needs


class Limited(Owned, Protocol):
    """Things whose use can be limited to people."""

    def owner(self, name: str) -> int:
        """Whose a thing is; 0 for nobody's."""
        ...

    def is_shared(self, name: str) -> bool:
        """Whether everybody is shown a thing, as far as its use is not limited to some."""
        ...

    def share(self, name: str, shared: bool = True) -> None:
        """Show a thing to everybody, or to its owner alone; NotFound for what has no owner."""
        ...

    def limits(self, name: str) -> tuple[int, ...]:
        """The people (ids) to whom the use of a thing is limited; () for everybody."""
        ...

    def limit(self, name: str, people: Collection[int]) -> None:
        """Limit the use of a thing to some people, () for everybody."""
        ...


@dataclass(frozen=True)
class Right:
    """Who may use a thing. owner: id of who has made it, 0 for nobody. people: ids, () for all.

    title: what people call it.
    """

    kind: str
    id: str
    title: str
    owner: int
    shared: bool
    people: tuple[int, ...] = ()

    @property
    def may_share(self) -> bool:
        """Whether who is at work may share it, or stop that."""
        person = acting()
        if person.role is Role.VIEWER or not self.owner:
            return False
        return person.is_administrator or person.id == self.owner


@dataclass(frozen=True)
class Shelf:
    """A sort of things beside the library's, which are shared but not limited to some people.

    find: the name and the title of a thing; NotFound when it is not there for who is at work.
    """

    find: Callable[[str], tuple[str, str]]
    owned: Limited


class Rights:
    """The rights on the library's items, by the places where these are, and on all else by kind."""

    def __init__(
        self,
        library: Library,
        catalogue: Catalogue,
        owned: Limited,
        shelves: Mapping[str, Shelf] | None = None,
    ):
        self._library = library
        self._catalogue = catalogue
        self._owned = owned
        self._shelves = shelves or {}

    def get(self, kind: str, item_id: str) -> Right:
        """The right on a thing; ModelError or NotFound when it is not here for who is at work."""
        owned, name, title = self._found(kind, item_id)
        people = () if kind in self._shelves else owned.limits(name)
        return Right(kind, item_id, title, owned.owner(name), owned.is_shared(name), people)

    @needs(Deed.MAKE)
    def share(self, kind: str, item_id: str, shared: bool) -> None:
        """Show what somebody has made to everybody, or to them alone; they and administrators do.

        Raises Forbidden for others, NotFound for what nobody here has made.
        """
        right = self.get(kind, item_id)
        if right.owner != acting().id and not acting().is_administrator:
            raise Forbidden(f"{right.title} is not yours to share; whoever has made it can do so.")
        if not right.owner:
            raise NotFound(
                f"{right.title} belongs to nobody, so there is nobody who could share it; "
                "administrators limit the use of a model instead."
                if kind in self._shelves
                else f"{right.title} is everybody's already; limit it to some people instead."
            )
        owned, name, _ = self._found(kind, item_id)
        owned.share(name, shared)

    @needs(Deed.MANAGE_MODELS)
    def limit(self, kind: str, item_id: str, people: Collection[int]) -> None:
        """Limit the use of an item to people (ids), () for everybody; administrators do.

        Raises RequestError for what is no model, adapter or reader.
        """
        owned, name, title = self._found(kind, item_id)
        if kind in self._shelves:
            raise RequestError(
                f"{title} cannot be limited to some people; only models, LoRAs, embeddings and "
                "readers can.",
                "people",
            )
        owned.limit(name, people)

    def _found(self, kind: str, item_id: str) -> tuple[Limited, str, str]:
        """Who knows whose a thing is, by which name, and its title."""
        if (shelf := self._shelves.get(kind)) is not None:
            return shelf.owned, *shelf.find(item_id)
        item = self._library.get(kind, item_id)
        return self._owned, self._catalogue.place(item.path), item.title
