"""The word that calls a subject up: what the model's tokenizer makes of it, and better ones."""

import html

from studio.errors import AtelierError
from studio.models.entry import ModelEntry
from studio.training.identifiers import Identifier, look_at, suggestions, templates

_SUGGESTED = 4
_SEED = 7
WORD = "sks"
"""Stands for the word in prompts until there is one."""
_THING, _LONGEST = "dog", 4


def verdict(word: str, entry: ModelEntry) -> tuple[str, list[str]]:
    """What to think of a word as HTML, and better ones where it is not good."""
    word = " ".join((word or "").split())
    try:
        tokenizer = entry.tokenizer(entry.family.counted) if entry.family else None
        if tokenizer is None:
            return "", []
        if not word:
            return "", suggestions(tokenizer, _SUGGESTED, _SEED)
        found = look_at(word, tokenizer)
        better = suggestions(tokenizer, _SUGGESTED, _SEED) if found.warns else []
        return _said(found), better
    except AtelierError as error:
        return f'<p class="at-hint">{html.escape(str(error))}</p>', []


def prompts(word: str, prompt: str, entry: ModelEntry) -> list[tuple[str, str]]:
    """Prompts that suit a model, each with its class's; what is drawn is taken from the prompt."""
    word = " ".join((word or "").split()) or WORD
    _, found, after = (prompt or "").partition(f"{word} ")
    thing = " ".join(after.split()) if found and len(after.split()) <= _LONGEST else _THING
    return [each.filled(word, thing) for each in templates(entry.examples)]


def with_word(prompt: str, old: str, new: str) -> str:
    """A prompt that calls the subject by another word."""
    old, new = old.strip(), new.strip()
    if old and old in (prompt or ""):
        return prompt.replace(old, new)
    return prompt


def _said(found: Identifier) -> str:
    kind = "at-train-word warns" if found.warns else "at-train-word"
    return f'<p class="{kind}">{html.escape(found.sentence)}</p>'
