"""A model card in Markdown: what was trained, of what, how, and what is known of it."""

import time
from collections.abc import Mapping

from studio.training.export import metadata
from studio.training.export.facts import Facts, versions
from studio.training.toml_files import toml_value, write_toml

_SHOWN = 200
"""Pictures whose hashes are listed; of larger sets only how many more there are."""


def model_card(facts: Facts) -> str:
    """The card of a training's outcome, with the metadata block that model hubs read."""
    asked = facts.request
    parts = [
        _block(facts),
        f"# {asked.name}",
        _summary(facts),
        _section("Use", _use(facts)),
        _section("Licence", _licence(facts)),
        _section("Curve", _table({name: f"{value:.5g}" for name, value in facts.curve.items()})),
        _section("Settings", f"```toml\n{write_toml(facts.request)}```"),
        _section("Pictures", _pictures(facts)),
        _section("Versions", _table(facts.versions or versions())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(facts: Facts) -> str:
    """Between lines of dashes; hubs read YAML, of which JSON's strings are a part."""
    asked = facts.request
    kind = "lora" if asked.adds_lora else asked.method.value
    lines = ["---", "library_name: diffusers", f"tags: [text-to-image, {kind}]"]
    if facts.base:
        lines.append(f"base_model: {toml_value(facts.base)}")
    if facts.trigger:
        lines.append(f"instance_prompt: {toml_value(facts.trigger)}")
    if facts.licence:
        lines.append(f"license: {toml_value(facts.licence)}")
    return "\n".join([*lines, "---"])


def _summary(facts: Facts) -> str:
    asked = facts.request
    what = "A LoRA" if asked.adds_lora else "A whole model"
    if not (asked.adds_lora or asked.trains_weights):
        what = "A textual inversion"
    kind = metadata.architecture(facts.family, velocity=facts.velocity)
    base = f"{facts.base or 'an unnamed model'} ({kind})"
    steps = (
        f"{facts.step} of {facts.steps} steps"
        if facts.step < facts.steps
        else f"{facts.step} steps"
    )
    when = time.strftime("%Y-%m-%d", time.gmtime(facts.finished or facts.started))
    text = (
        f"{what} made from {base} with {facts.pictures} pictures by {asked.method.value}, {steps} "
        f"of {facts.batch * facts.accumulation * facts.processes} pictures, on {when}."
    )
    if facts.base_sha256:
        text += f" The base model's SHA-256 is `{facts.base_sha256}`."
    return text


def _use(facts: Facts) -> str:
    asked = facts.request
    if asked.adds_lora:
        call = f"`<lora:{asked.name}:1>`"
        return f"Write {call} and `{facts.trigger}`." if facts.trigger else f"Write {call}."
    return f"Write `{facts.trigger}` into the prompt." if facts.trigger else ""


def _licence(facts: Facts) -> str:
    if facts.licence:
        return f"The base model is under {facts.licence}, which holds for what is made of it."
    return (
        "The licence of the base model is unknown. What may be done with this file depends on it, "
        "and on the rights in the pictures."
    )


def _pictures(facts: Facts) -> str:
    text = f"{facts.pictures} to learn from"
    if facts.class_pictures:
        text += f", {facts.class_pictures} of the class"
    lines = [text + "."]
    if facts.buckets:
        sizes = {f"{w}x{h}": str(count) for (w, h), count in sorted(facts.buckets.items())}
        lines.append(_table(sizes))
    listed = sorted(facts.hashes.items())
    if listed:
        more = len(listed) - _SHOWN
        rows = {f"`{name.replace('`', '')}`": f"`{digest}`" for name, digest in listed[:_SHOWN]}
        lines.append(_table(rows))
        lines += [f"And {more} more."] if more > 0 else []
    return "\n\n".join(lines)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _table(rows: Mapping[str, str]) -> str:
    """Two columns; a bar in a cell would end it."""
    if not rows:
        return ""
    cells = (f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return "\n".join(["| | |", "| --- | --- |", *cells])


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("\r", " ")
