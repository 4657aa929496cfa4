"""The description of the API as a page that fetches nothing, neither scripts nor fonts."""

import html
import json
from pathlib import Path
from string import Template
from typing import Any

_ASSETS = Path(__file__).resolve().parents[3] / "assets"
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def page(told: dict[str, Any]) -> str:
    """The page of a description as OpenAPI."""
    template = Template((_ASSETS / "pages" / "api.html").read_text(encoding="utf-8"))
    operations: dict[str, list[str]] = {each["name"]: [] for each in told["tags"]}
    links: list[str] = []
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            operations[operation["tags"][0]].append(_operation(method, path, operation))
    for tag in told["tags"]:
        name = _text(tag["name"])
        links.append(f'<a href="#{name}">{name}</a>')
    parts = [_section(tag, operations[tag["name"]]) for tag in told["tags"]]
    schemas = sorted(told["components"]["schemas"].items())
    return template.substitute(
        version=_text(told["info"]["version"]),
        about=_marked(told["info"]["description"]),
        links=" ".join([*links, '<a href="#schemas">schemas</a>']),
        operations="".join(parts),
        schemas="".join(_schema(name, schema) for name, schema in schemas),
    )


def _section(tag: dict[str, str], operations: list[str]) -> str:
    name = _text(tag["name"])
    return f'<h2 id="{name}">{name}</h2><p>{_text(tag["description"])}</p>{"".join(operations)}'


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(_parameter(each) for each in operation.get("parameters", ()))
    bodies = operation.get("requestBody", {}).get("content", {})
    answers = "".join(
        f"<tr><td>{_text(status)}</td><td>{_marked(answer['description'])}</td>"
        f"<td>{_contents(answer.get('content', {}))}</td></tr>"
        for status, answer in sorted(operation["responses"].items())
    )
    parts = [
        f"<p>{_marked(operation.get('description', ''))}</p>",
        parameters and f"<h4>Parameters</h4><table>{parameters}</table>",
        bodies and f"<h4>Body</h4><p>{_contents(bodies)}</p>{_examples(bodies)}",
        f"<h4>Answers</h4><table>{answers}</table>",
    ]
    return (
        f'<details id="{_text(operation["operationId"])}"><summary>'
        f'<b class="{method}">{method.upper()}</b> <code>{_text(path)}</code> '
        f"<span>{_text(operation['summary'])}</span></summary>{''.join(filter(None, parts))}"
        "</details>"
    )


def _parameter(told: dict[str, Any]) -> str:
    needed = " <i>needed</i>" if told.get("required") else ""
    return (
        f"<tr><td><code>{_text(told['name'])}</code>{needed}</td><td>{_text(told['in'])}</td>"
        f"<td>{_type(told['schema'])}</td><td>{_text(told.get('description', ''))}</td></tr>"
    )


def _contents(contents: dict[str, Any]) -> str:
    return "<br>".join(
        f"<code>{_text(kind)}</code> {_type(content.get('schema', {}))}"
        for kind, content in contents.items()
    )


def _examples(contents: dict[str, Any]) -> str:
    examples = contents.get("application/json", {}).get("examples", {})
    return "".join(
        f"<p>{_text(each['summary'])}</p><pre>{_text(json.dumps(each['value'], indent=2))}</pre>"
        for each in examples.values()
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{_text(field)}</code>{' <i>needed</i>' if field in needed else ''}</td>"
        f"<td>{_type(told)}</td><td>{_text(told.get('description', ''))}</td></tr>"
        for field, told in schema.get("properties", {}).items()
    )
    shown = f"<table>{rows}</table>" if rows else f"<p>{_type(schema)}</p>"
    about = _marked(schema.get("description", ""))
    return (
        f'<details id="schema-{_text(name)}"><summary><code>{_text(name)}</code></summary>'
        f"<p>{about}</p>{shown}</details>"
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>{_default(schema)}'
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_type(each) for each in schema[word])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{_text(json.dumps(each))}</code>" for each in values)
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {_number(schema[name])}" for name, sign in limits.items() if name in schema]
    return _text(" ".join([str(schema.get("type", "anything")), *told])) + _default(schema)


def _default(schema: dict[str, Any]) -> str:
    if "default" not in schema:
        return ""
    return f" default <code>{_text(json.dumps(schema['default']))}</code>"


def _number(limit: float) -> str:
    return str(int(limit)) if limit % 1 == 0 else str(limit)


def _marked(text: str) -> str:
    """A text with what stands in backticks as code."""
    pieces = _text(text).split("`")
    return "".join(
        f"<code>{each}</code>" if number % 2 else each for number, each in enumerate(pieces)
    )


def _text(text: object) -> str:
    return html.escape(str(text))
