"""ComfyUI's graph of nodes, and careful walks along its links.

Every walk remembers where it has been, so that a circle ends it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studio.diffusion.metadata.document import JsonObject

# Inputs under which nodes that only hold a value hold it.
_HELD = ("value", "text", "string", "seed", "int", "float", "number", "Number", "populated_text")
# Inputs that hold a prompt, in the order that a person would read them.
_TEXTS = (
    *("text", "populated_text", "text_g", "text_l", "prompt", "string", "value", "string_a"),
    *("string_b", "text_a", "text_b", "text1", "text2", "clip_l", "t5xxl", "wildcard_text"),
)
# Inputs of a conditioning node that lead away from its text.
_ASIDE = {
    *("clip", "model", "vae", "control_net", "controlnet", "image", "mask", "clip_vision_output"),
    *("style_model", "latent", "latent_image", "pixels", "samples", "gligen_textbox_model"),
}


@dataclass(frozen=True)
class Node:
    """A node: the name of its class, and literals or links by input."""

    kind: str
    inputs: JsonObject


class Graph:
    """Nodes by id, as the `prompt` of a picture lists them."""

    def __init__(self, data: JsonObject):
        self.nodes: dict[str, Node] = {}
        for key, entry in data.items():
            if isinstance(entry, dict) and isinstance(entry.get("inputs"), dict):
                self.nodes[key] = Node(str(entry.get("class_type", "")), entry["inputs"])

    def target(self, value: object) -> tuple[str, Node] | None:
        """Id and node that a link such as `["4", 0]` leads to; None for a literal or a dead end."""
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)):
            return None
        key = str(value[0]) if isinstance(value[0], (str, int)) else ""
        node = self.nodes.get(key)
        return (key, node) if node else None

    def literal(self, value: object, name: str) -> object:
        """The value of an input, also when a node of its own holds it; None if none is found."""
        seen: set[str] = set()
        while isinstance(value, list):
            found = self.target(value)
            if found is None or found[0] in seen:
                return None
            seen.add(found[0])
            inputs = found[1].inputs
            value = next((inputs[key] for key in (name, *_HELD) if key in inputs), None)
        return value

    def upstream(self, value: object, names: Sequence[str]) -> Iterator[tuple[str, Node]]:
        """Nodes reached from a link by following inputs of the given names, nearest first."""
        seen: set[str] = set()
        pending = [value]
        for link in pending:
            found = self.target(link)
            if found is None or found[0] in seen:
                continue
            seen.add(found[0])
            yield found
            pending.extend(found[1].inputs[name] for name in names if name in found[1].inputs)

    def texts(self, value: object, role: str) -> list[str]:
        """Prompt texts that flow into an input, each once, in the order of the graph.

        role: "positive" or "negative", for nodes that carry both.
        """
        found: list[str] = []
        seen: set[str] = set()
        pending = [value]
        while pending:
            value = pending.pop()
            if isinstance(value, str):
                found.append(value.strip())
                continue
            reached = self.target(value)
            if reached and reached[0] not in seen:
                seen.add(reached[0])
                pending.extend(reversed(_branches(reached[1], role)))
        return [text for text in dict.fromkeys(found) if text]


def _branches(node: Node, role: str) -> list[object]:
    """Inputs of a node that its text comes from."""
    inputs = node.inputs
    if node.kind == "ConditioningZeroOut":
        return []
    if role in inputs:
        return [inputs[role]]
    texts = [inputs[name] for name in _TEXTS if name in inputs]
    if texts:
        return texts
    return [link for name, link in inputs.items() if isinstance(link, list) and name not in _ASIDE]
