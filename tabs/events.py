"""Several listeners of one event, each of which may put calls off."""

from collections.abc import Callable
from typing import Any


def apart(event: Callable[..., Any]) -> Any:
    """What comes right after an event; listeners that are put behind it by `then` are apart.

    When a call is put off (trigger mode "always_last"), Gradio's page later repeats the whole event
    with all its listeners: two of them that put calls off would repeat each other without end. What
    hangs behind another listener is repeated alone.
    """
    return event(None, None, None, js="() => {}", show_progress="hidden", api_visibility="private")
