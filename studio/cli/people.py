"""The commands about people: who has an account on this data folder, and their ways in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from studio.accounts.accounts import Accounts
from studio.cli.options import DataDir
from studio.people import Role
from studio.settings import load_settings
from studio.store.database import Database

Name = Annotated[str, typer.Argument(help="As it is at the login.")]
RoleName = Annotated[str, typer.Option("--role", help=", ".join(Role))]
Typed = Annotated[
    bool, typer.Option("--password", help="Type a password here instead of making a link.")
]


def build_people() -> typer.Typer:
    """`atelier people` and what stands below it."""
    people = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Who has an account, and their ways in."
    )
    for command in (list_people, add, role, rename, password, disable, enable, remove):
        people.command("list" if command is list_people else command.__name__)(command)
    return people


def list_people(data_dir: DataDir = None) -> None:
    """List the people, their roles and what keeps them out."""
    with _opened(data_dir) as accounts:
        for row in accounts.listed():
            state = "disabled" if row.disabled_at else "" if row.password_hash else "invited"
            print(f"{row.name:40} {row.role.value:14} {state}".rstrip())


def add(
    name: Name, role: RoleName = "member", typed: Typed = False, data_dir: DataDir = None
) -> None:
    """Add somebody and print a one-time link by which they choose their password."""
    with _opened(data_dir) as accounts:
        person_id = accounts.add(name, _role(role), _typed() if typed else "")
        if not typed:
            _print_link(accounts, person_id, data_dir)


def role(
    name: Name, role: Annotated[str, typer.Argument(help=", ".join(Role))], data_dir: DataDir = None
) -> None:
    """Give somebody another role."""
    with _opened(data_dir) as accounts:
        accounts.change_role(accounts.named(name).id, _role(role))


def rename(
    name: Name,
    other: Annotated[str, typer.Argument(help="The new name.")],
    data_dir: DataDir = None,
) -> None:
    """Give somebody another name."""
    with _opened(data_dir) as accounts:
        accounts.rename(accounts.named(name).id, other)


def password(name: Name, typed: Typed = False, data_dir: DataDir = None) -> None:
    """Print a link for somebody who has forgotten the password; used, it ends their tokens too."""
    with _opened(data_dir) as accounts:
        person_id = accounts.named(name).id
        if typed:
            accounts.set_password(person_id, _typed())
        else:
            _print_link(accounts, person_id, data_dir)


def disable(name: Name, data_dir: DataDir = None) -> None:
    """Let somebody in no more, at once."""
    with _opened(data_dir) as accounts:
        accounts.disable(accounts.named(name).id)


def enable(name: Name, data_dir: DataDir = None) -> None:
    """Let somebody in again."""
    with _opened(data_dir) as accounts:
        accounts.enable(accounts.named(name).id)


def remove(name: Name, data_dir: DataDir = None) -> None:
    """Forget somebody; what they have made stays."""
    with _opened(data_dir) as accounts:
        accounts.remove(accounts.named(name).id)


@contextmanager
def _opened(data_dir: str | None) -> Iterator[Accounts]:
    """The accounts of a data folder, which is made when it is not there; a server may run on it."""
    from studio.preparing import prepare_folder

    settings = load_settings(data_dir=data_dir)
    prepare_folder(settings.data_dir)
    database = Database(settings.data_dir, settings.database_url.get_secret_value())
    try:
        yield Accounts(database)
    finally:
        database.close()


def _role(value: str) -> Role:
    if value not in list(Role):
        raise typer.BadParameter(f"{value!r} is no role; choose one of {', '.join(Role)}.")
    return Role(value)


def _typed() -> str:
    """A password as it is typed twice, which is not shown."""
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _print_link(accounts: Accounts, person_id: int, data_dir: str | None) -> None:
    settings = load_settings(data_dir=data_dir)
    path = accounts.path_of_link(accounts.invite(person_id), person_id)
    start = f"http://{settings.host}:{settings.port}{settings.path_prefix}"
    if settings.root_path.startswith("http"):
        start = settings.root_path
    print(f"Good for one day and once, at the studio's own address: {start}{path}")
