"""Jobs that a panel follows, one after the other, each as a line and a bar."""

import html
from collections.abc import Iterator, Sequence

from studio.jobs.queue import JobQueue
from studio.store.jobs import JobRow


def unended(queue: JobQueue, kinds: Sequence[str]) -> list[JobRow]:
    """Jobs of some kinds that wait or run, oldest first."""
    rows = [row for kind in kinds for row in queue.unended(kind)]
    return sorted(rows, key=lambda row: row.number)


def each_job(queue: JobQueue, kinds: Sequence[str], own: str = "") -> Iterator[JobRow]:
    """The jobs of some kinds, one after the other, as long as there are any.

    own: id of one that is among them even when it came to its end at once.
    """
    seen: set[str] = set()
    while True:
        known = [row for row in unended(queue, kinds) if row.id not in seen]
        if own and own not in seen:
            known.append(queue.get(own))
        if not known:
            return
        seen.add(known[0].id)
        yield known[0]


def stop(queue: JobQueue, kinds: Sequence[str]) -> None:
    """Take back the job that is shown."""
    for row in unended(queue, kinds)[:1]:
        queue.cancel(row.id)


def bar(name: str, words: str, share: float) -> str:
    """What is made, how far it is in words, and the same as a bar; share: 0 to 1."""
    drawn = f'<div class="at-gauge"><i class="own" style="width: {share:.1%}"></i></div>'
    return (
        f'<div class="at-fetched"><p><b>{html.escape(name)}</b> {html.escape(words)}</p>'
        f"{drawn}</div>"
    )
