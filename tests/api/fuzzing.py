"""Sends generated requests, right and wrong ones, to every operation of an API.

FUZZ_REQUESTS: how many; 20,000 are what the figure of the API asks for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

ASKED = os.environ.get("FUZZ_REQUESTS")
REQUESTS = int(ASKED or 400)
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

Ask = Callable[[Any, bool, requests.Session], object]
"""Sends a case and checks its answer; the second: whether it may name what is there."""


def sweep(live_server: Any, operations: Sequence[Any], ask: Ask) -> None:
    """Ask all operations; none may fail, nor leave a trace of a fault in the log."""
    before = len(live_server.log())
    asking = [each for each in operations if takes_something(each)]
    share = max(1, (REQUESTS - len(operations)) // (len(asking) * len(MODES)))
    with requests.Session() as session:
        sent = sum(probe(each, mode, share, session, ask) for each in asking for mode in MODES)
        for operation in operations:
            sent += probe(operation, GenerationMode.POSITIVE, 1, session, ask)
    print(f"{sent} requests were sent")
    assert sent >= 0.8 * REQUESTS, "there are fewer wrong requests than right ones to some routes"
    assert requests.get(f"{live_server.url}/health", timeout=10).status_code == 200
    assert "Traceback" not in live_server.log()[before:]


def takes_something(operation: Any) -> bool:
    """Whether what is sent to an operation can differ."""
    return bool(operation.body or operation.query or operation.path_parameters)


def probe(
    operation: Any, mode: GenerationMode, count: int, session: requests.Session, ask: Ask
) -> int:
    """Send so many requests to an operation; returns how many it took."""
    cases = operation.as_strategy(generation_mode=mode)
    sent = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=not ASKED,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, there=st.booleans())
    def send(case: Any, there: bool) -> None:
        nonlocal sent
        ask(case, there, session)
        sent += 1

    try:
        send()
    except Unsatisfiable:  # whatever is sent to some is right
        assert mode is GenerationMode.NEGATIVE
    return sent


def small(body: dict[str, Any], largest: Mapping[str, float]) -> dict[str, Any]:
    """The body with no number above the largest of its name; what is no number stays."""
    body = dict(body)
    for name, most in largest.items():
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > most:
            body[name] = most
    return body
