"""The command about data sets: what is wrong in a SQuAD file, and a copy without it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.errors import RequestError
from studio.reader.faults import Fault, faults
from studio.reader.repairs import Repair, repaired
from studio.reader.squad import Squad, read_squad, write_squad


def check_squad(
    file: Annotated[Path, typer.Argument(help="A .json or .json.gz file, SQuAD 1.1 or 2.0.")],
    repair: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a copy without faults here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every fault of a SQuAD file; exit code 1 when there are some and none are mended."""
    if repair is not None and repair.resolve() == file.resolve():
        raise RequestError("--repair must name another file than the one that is checked.")
    squad = read_squad(file)
    found = faults(squad)
    mended, done = repaired(squad) if repair is not None else (squad, [])
    if repair is not None:
        write_squad(mended, repair)
    if as_json:
        print(json.dumps(_told(squad, found, mended, done), indent=2))
    else:
        _print(squad, found)
        if repair is not None:
            _print_repairs(mended, done, repair)
    if found and repair is None:
        raise typer.Exit(1)


def _print(squad: Squad, found: list[Fault]) -> None:
    for fault in found:
        print(f"{fault.path}: {fault.message}")
    print(f"{_size(squad)}, faults: {len(found):,}")


def _print_repairs(mended: Squad, done: list[Repair], out: Path) -> None:
    print()
    for each in done:
        print(f"{each.path}: {each.done}")
    print(f"{out}: {_size(mended)}, faults: 0, repairs: {len(done):,}")


def _size(squad: Squad) -> str:
    questions = sum(1 for _ in squad.asked())
    return f"articles: {len(squad.articles):,}, questions: {questions:,}"


def _told(squad: Squad, found: list[Fault], mended: Squad, done: list[Repair]) -> dict[str, Any]:
    return {
        "sha256": squad.sha256,
        "version": squad.version,
        "questions": sum(1 for _ in squad.asked()),
        "faults": [
            {
                "path": fault.path,
                "kind": fault.kind.value,
                "message": fault.message,
                "stands_at": list(fault.stands_at),
            }
            for fault in found
        ],
        "repairs": [asdict(each) for each in done],
        "questions_kept": sum(1 for _ in mended.asked()),
    }
