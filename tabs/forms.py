"""Components and request fields, mapped to each other once.

With `inputs=form.inputs` a handler gets a dict by component, so that order never matters.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from annotated_types import Ge, Le
from gradio.components import Component

from studio.errors import RequestError
from studio.requests import GenerationRequest, Request, label, validated

Values = Mapping[Component, Any]


class Form:
    """One request's controls by field name."""

    def __init__(self, request: type[Request], fields: Mapping[str, Component]):
        self._request = request
        self.fields: dict[str, Any] = dict(fields)  # events differ by component

    @property
    def inputs(self) -> set[Component]:
        """All controls, for `inputs=`."""
        return set(self.fields.values())

    @property
    def outputs(self) -> list[Component]:
        """All controls in the order of `updates`."""
        return list(self.fields.values())

    def values(self, values: Values) -> dict[str, Any]:
        """What the controls say, by field name."""
        return {name: values[component] for name, component in self.fields.items()}

    def request(self, values: Values) -> Any:
        """The request that the controls say; RequestError names the first wrong field."""
        given = self.values(values)
        for name, component in self.fields.items():
            # An empty box becomes 0 as soon as what it is folded away in is opened.
            if isinstance(component, gr.Number) and given[name] == 0 and self._open(name):
                given[name] = None
        return validated(self._request, given)

    def _open(self, name: str) -> bool:
        return self._request.model_fields[name].default is None

    def updates(self, fields: Mapping[str, Any]) -> list[Any]:
        """New values for the named fields; the other controls stay as they are."""
        return [fields.get(name, gr.skip()) for name in self.fields]


def limits(field: str, request: type[Request] = GenerationRequest) -> tuple[float, float]:
    """A numeric field's least and greatest value, read from the request itself."""
    metadata = request.model_fields[field].metadata
    low = next(rule.ge for rule in metadata if isinstance(rule, Ge))
    high = next(rule.le for rule in metadata if isinstance(rule, Le))
    return float(low), float(high)  # type: ignore[arg-type]


def slider(
    field: str,
    value: float,
    step: float,
    request: type[Request] = GenerationRequest,
    **more: Any,
) -> gr.Slider:
    """A slider whose limits are the field's."""
    low, high = limits(field, request)
    kind = int if float(step).is_integer() else float
    more.setdefault("label", label(field))
    return gr.Slider(kind(low), kind(high), value=value, step=step, **more)


def valid_fields(
    fields: Mapping[str, Any], request: type[Request] = GenerationRequest
) -> dict[str, Any]:
    """Those stored values that a request of today still accepts, each on its own."""
    kept = {}
    for name, value in fields.items():
        if name not in request.model_fields:
            continue
        try:
            kept[name] = getattr(validated(request, {name: value}), name)
        except RequestError:
            continue
    return kept
