"""What a training will cost, measured by a few of its steps, as a card."""

import html
from collections.abc import Iterator
from typing import Any

from studio.errors import AtelierError
from studio.events import Event, Failed, Finished, Loading, Progress, Queued, Stopped, Waiting
from studio.services import Services
from studio.training.cost import Cost
from studio.training_requests import CostRequest, TrainRequest
from tabs.blocks.benchmark import progress_line
from tabs.blocks.stage import duration

_BEFORE = (Queued, Waiting, Loading, Progress)


def measured(services: Services, asked: TrainRequest) -> Iterator[Event | Cost]:
    """How far the measurement of a request is, and what it has found.

    Raises AtelierError when it cannot be measured.
    """
    fields = asked.model_dump(exclude={"kind"})
    job = services.queue.submit(CostRequest.model_validate(fields))
    for event in services.queue.follow(job):
        if isinstance(event, Failed):
            raise AtelierError(event.reason)
        if isinstance(event, Stopped):
            raise AtelierError("The measurement was stopped; measure again.")
        if isinstance(event, Finished):
            found = services.costing.cost(asked)
            if found is not None:
                yield found
        elif isinstance(event, _BEFORE):
            yield event


def under_way(event: Event) -> str:
    """How far a measurement is."""
    return f'<div class="at-train-check">{progress_line(event)}</div>'


def card(cost: Cost) -> str:
    """The cost as people read it, with what had to be changed, or why it will not do."""
    tiles = (
        (duration(cost.seconds), "in all"),
        (duration(cost.seconds_a_step), "a step"),
        (_bytes(cost.memory), f"memory, of {_bytes(cost.free)}"),
        (_bytes(cost.disk), f"disk, of {_bytes(cost.disk_free)}"),
    )
    shown = "".join(f"<div><b>{value}</b><span>{words}</span></div>" for value, words in tiles)
    return (
        '<div class="at-train-check"><header><h3>Cost</h3>'
        f"<p>{_verdict(cost)} <small>Measured by three steps.</small></p>"
        '<button type="button" class="at-act" data-act="close" aria-label="Close the cost">Close'
        f'</button></header><div class="at-scores">{shown}</div>{_way(cost)}</div>'
    )


def _verdict(cost: Cost) -> str:
    if cost.memory > cost.free:
        return (
            "It needs more memory than is free: take smaller batches, a lower resolution or rank."
        )
    if cost.disk > cost.disk_free:
        return "It needs more disk than is free: save less often, or free some."
    return "It fits."


def _way(cost: Cost) -> str:
    """What the run does by itself to fit, and can be told to do from the start."""
    told: list[str] = [html.escape(words) for words in cost.way]
    if cost.checkpointing:
        told.append("Activations are computed twice, which is slower.")
    return "".join(f"<p>{words}</p>" for words in told)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6)):,} MB"


def shown(services: Services, asked: TrainRequest) -> Iterator[str]:
    """The card, and before it how far its measurement is."""
    for told in measured(services, asked):
        yield card(told) if isinstance(told, Cost) else under_way(told)


def named(given: dict[str, Any]) -> dict[str, Any]:
    """A form's values with a name, which a measurement has no need of."""
    return {**given, "name": given.get("name") or "unnamed"}
