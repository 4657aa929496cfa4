"""The description of the API as OpenAPI: made of its routes, and completed."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from studio import __version__
from studio.events import EVENT

_ABOUT = """Whatever is asked for is a job: it is put into the queue with `POST /jobs`, looked at
with `GET /jobs/{job_id}` and followed with `GET /jobs/{job_id}/events`. What cannot be done is
told as a `Problem`, with one sentence in `detail`. Pictures are named by numbers and hashes, and
no path of the server is ever taken."""
_TAGS = [
    {"name": "jobs", "description": "What was asked for, and how far it is."},
    {"name": "outputs", "description": "Saved pictures."},
    {"name": "inputs", "description": "Pictures that are sent to be worked on."},
    {"name": "models", "description": "What there is to work with, and who may use it."},
    {"name": "styles", "description": "Pieces of prompts that are kept by name."},
    {"name": "runs", "description": "Trainings."},
    {"name": "reader", "description": "Questions on texts."},
    {"name": "people", "description": "Who asks, and what they may have."},
    {"name": "administration", "description": "Everybody's, for administrators."},
    {"name": "description", "description": "What these routes are."},
]
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of one's account."},
    "basic": {"type": "http", "scheme": "basic", "description": "A name with password or token."},
}
_REFERENCE = "#/components/schemas/{model}"


def description(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Something that makes the description when it is first asked for."""
    return cache(make)


def openapi(routes: Sequence[APIRoute], guarded: bool) -> dict[str, Any]:
    """The description of routes; guarded: whether they want an account."""
    told = get_openapi(
        title="Atelier",
        version=__version__,
        summary="The studio's own API.",
        description=" ".join(_ABOUT.split()),
        routes=routes,
        tags=_TAGS,
    )
    schemas = told["components"]["schemas"]
    _require_kinds(schemas)
    _add_events(told, schemas)
    if guarded:
        told["components"]["securitySchemes"] = _SCHEMES
        told["security"] = [{name: []} for name in _SCHEMES]
    return told


def _require_kinds(schemas: dict[str, Any]) -> None:
    """What tells requests apart must be sent, though each kind of them has it by default."""
    for schema in schemas.values():
        kind = schema.get("properties", {}).get("kind", {})
        if schema.get("title", "").endswith("Request") and "const" in kind:
            schema["required"] = ["kind", *schema.get("required", ())]


def _add_events(told: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What the data of server-sent events hold, as OpenAPI 3.2 will have it."""
    events = EVENT.json_schema(mode="serialization", ref_template=_REFERENCE)
    schemas.update(events.pop("$defs"))
    schemas["Event"] = {"title": "Event", **events}
    for path in told["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("200", {}).get("content", {})
            if stream := content.get("text/event-stream"):
                # Of another object than the route's own, which the studio's whole list has too.
                item = deepcopy(stream["itemSchema"])
                item["properties"]["data"] |= {
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": _REFERENCE.format(model="Event")},
                }
                stream["itemSchema"] = item
