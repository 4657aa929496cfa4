"""What a training's open settings follow from: its pictures, its method and its model.

Only what is None or empty is derived, and each value comes with the sentence that it follows from.
Where a number was taken from others it says from whom; the rest is our own estimate, as the curve
of a run tells soon enough.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.models.entry import ModelEntry
from studio.training.pictures.example import Example
from studio.training.rate_table import Rates, rates_of
from studio.training_requests import Method, Optimiser, TrainRequest

_PER_PICTURE, _FEWEST, _MOST, _MOST_WHOLE = 100, 400, 3000, 1200
"""Steps: 80 to 100 for each picture of a subject, as trainers advise; all weights spoil sooner."""
_EPOCHS = 10
"""That many passes over a large set, as of a style, are done though it takes more steps."""
_INVERSION_STEPS = 3000
"""https://github.com/huggingface/diffusers/tree/main/examples/textual_inversion"""
_HELD_OUT_FROM, _HELD_OUT_MOST = 12, 32
"""Of fewer pictures each is needed to learn from; more do not make the number better."""
_CLASS_PER_PICTURE, _CLASS_MOST = 20, 200
"""https://github.com/huggingface/diffusers/tree/main/examples/dreambooth: 200 work well for most"""
_LION_SHARE = 5
"""Chen et al. 2023 (arXiv 2302.06675), section 5: its rates are 3 to 10 times smaller."""
_SCENE = "on the beach"
_ARTICLES = ("a", "an", "the")
_NO_ALPHA = 1.0


@dataclass(frozen=True)
class Derived:
    """A value that nobody gave, and what it follows from. formula: for people, one line."""

    field: str
    value: Any
    formula: str


def derivations(
    request: TrainRequest,
    examples: Sequence[Example],
    entry: ModelEntry,
    class_examples: int = 0,
) -> list[Derived]:
    """All settings of a request that are open and that its method makes use of.

    examples: the pictures of its set. entry: the model it begins with. class_examples: pictures of
    the class that are there already.
    """
    found = _Derivation(request, examples, entry, class_examples).all()
    return [each for each in found if _matters(request, each.field)]


def resolved(
    request: TrainRequest,
    examples: Sequence[Example],
    entry: ModelEntry,
    class_examples: int = 0,
) -> TrainRequest:
    """The request with nothing left open; what it gives stays as it is.

    Only held_out stays open for a few pictures: then they are measured by views of them.
    """
    found = _Derivation(request, examples, entry, class_examples).all()
    values = {each.field: each.value for each in found}
    if not values.get("held_out"):
        values.pop("held_out", None)
    return TrainRequest.model_validate({**request.model_dump(), **values})


def trigger_of(prompt: str, class_prompt: str) -> str:
    """The words that a prompt has and its class's lacks, "" when they do not stand together.

    "a photo of sks dog" of "a photo of a dog" is "sks".
    """
    known = {word.lower() for word in _words(class_prompt)} | set(_ARTICLES)
    words = _words(prompt)
    own = [place for place, word in enumerate(words) if word.lower() not in known]
    if not known - set(_ARTICLES) or not own or own != list(range(own[0], own[-1] + 1)):
        return ""
    return " ".join(words[own[0] : own[-1] + 1])


def _words(prompt: str) -> list[str]:
    return [word for word in (part.strip(".,;:!?\"'()") for part in prompt.split()) if word]


def _matters(request: TrainRequest, field: str) -> bool:
    match field:
        case "alpha":
            return request.adds_lora
        case "conv_alpha":
            return request.adds_lora and request.conv_rank > 0
        case "text_rate":
            return request.text_encoder and request.method is not Method.TEXTUAL_INVERSION
        case "class_pictures":
            return request.preservation
        case "initial_word":
            return request.method is Method.TEXTUAL_INVERSION
    return True


class _Derivation:
    """One request being resolved; what follows from other derived values is asked after them."""

    def __init__(
        self,
        request: TrainRequest,
        examples: Sequence[Example],
        entry: ModelEntry,
        class_examples: int,
    ):
        self._request = request
        self._examples = examples
        self._entry = entry
        self._class_examples = class_examples
        self._rates: Rates = rates_of(request, entry)

    def all(self) -> list[Derived]:
        """Every open setting, those that the page shows first at first."""
        return [Derived(*each) for each in self._found() if self._is_open(each[0])]

    def _is_open(self, field: str) -> bool:
        return getattr(self._request, field) in (None, "", ())

    def _found(self) -> Iterator[tuple[str, Any, str]]:
        yield "model", self._entry.id, "the default model"
        yield "steps", *self._steps()
        yield "learning_rate", *self._rate(self._rates.rate)
        yield "text_rate", *self._rate(self._rates.text)
        yield "resolution", *self._resolution()
        yield "held_out", *self._held_out()
        yield "class_pictures", *self._class_pictures()
        rank, conv = float(self._request.rank), float(self._request.conv_rank)
        yield "alpha", rank, f"the rank, {rank:g}: what is learnt counts once"
        yield "conv_alpha", conv or _NO_ALPHA, f"the rank of the convolutions, {conv:g}"
        yield "micro_batch", *self._micro_batch()
        yield "checkpointing", False, "off, until memory asks for it"
        steps = self._request.steps or self._steps()[0]
        tenth = max(1, steps // 10)
        yield "sample_every", tenth, f"a tenth of {steps:,} steps"
        yield "save_every", tenth, f"a tenth of {steps:,} steps"
        yield "sample_prompts", *self._sample_prompts()
        trigger = self._trigger()
        if trigger:
            yield "trigger", trigger, "what the prompt says and the class prompt does not"
        word = (_words(self._class_prompt()) or [""])[-1]
        if word:
            yield "initial_word", word, "the last word of the class prompt"

    def _steps(self) -> tuple[int, str]:
        request = self._request
        if request.method is Method.TEXTUAL_INVERSION:
            return _INVERSION_STEPS, f"{_INVERSION_STEPS:,}, as in the example of diffusers"
        count = max(1, len(self._examples) - self._held_out_count())
        most = _MOST_WHOLE if request.method is Method.DREAMBOOTH and request.whole else _MOST
        wanted = math.ceil(_PER_PICTURE * count / request.batch_size)
        seen = sum(example.repeats for example in self._examples) or 1
        passes = math.ceil(_EPOCHS * seen / request.batch_size)
        said = (
            f"{_PER_PICTURE} steps a picture x {count:,} picture{'s' * (count != 1)} / "
            f"batch {request.batch_size:,} = {wanted:,}"
        )
        if wanted > most and passes > most:
            return min(passes, 10**6), (
                f"{_EPOCHS} passes over {seen:,} pictures / batch {request.batch_size:,} = "
                f"{passes:,}"
            )
        said += f", at least {_FEWEST:,}, at most {most:,}"
        return min(max(wanted, _FEWEST), most), said

    def _rate(self, rate: tuple[float, str]) -> tuple[float, str]:
        value, said = rate
        optimiser = self._request.optimiser
        if optimiser is Optimiser.PRODIGY:
            return 1.0, "1, as Prodigy finds the rate itself"
        if self._request.method is Method.TEXTUAL_INVERSION:
            batch = self._request.batch_size
            scaled = min(value * batch, self._rates.most)
            said = f"{value:g} x batch {batch}, at most {self._rates.most:g}: {said}"
            value = scaled
        if optimiser is Optimiser.LION:
            return value / _LION_SHARE, f"a {_ordinal(_LION_SHARE)} of {value:g} for Lion: {said}"
        return value, said

    def _resolution(self) -> tuple[int, str]:
        entry = self._entry
        side = math.sqrt(entry.width * entry.height)
        side = min(max(round(side / entry.multiple) * entry.multiple, 64), 2048)
        return side, f"the model's own {entry.width} x {entry.height}"

    def _held_out_count(self) -> int:
        """Of a share that somebody gave, or as many as there is room for."""
        count, given = len(self._examples), self._request.held_out
        if given is not None:
            return round(given * count)
        if count < _HELD_OUT_FROM:
            return 0
        return min(max(1, round(count / 10)), _HELD_OUT_MOST)

    def _held_out(self) -> tuple[float, str]:
        count, kept = len(self._examples), self._held_out_count()
        if not kept:
            return 0.0, (
                f"none of {count:,}: with fewer than {_HELD_OUT_FROM} each is learnt from, and "
                "views of them are measured"
            )
        return kept / count, f"{kept} of {count:,} pictures: a tenth, at most {_HELD_OUT_MOST}"

    def _class_pictures(self) -> tuple[int, str]:
        if self._class_examples:
            return min(self._class_examples, 2000), f"the {self._class_examples:,} that are there"
        count = max(1, len(self._examples))
        wanted, prompts = _CLASS_PER_PICTURE * count, len(self._request.class_prompts)
        said = (
            f"{_CLASS_PER_PICTURE} for each of {count:,} picture{'s' * (count != 1)} = "
            f"{wanted:,}, at most {_CLASS_MOST}"
        )
        found = min(wanted, _CLASS_MOST)
        if prompts > found:
            return min(prompts, 2000), f"{said}, but one for each of {prompts:,} prompts"
        return found, said

    def _micro_batch(self) -> tuple[int, str]:
        share = math.ceil(self._request.batch_size / self._request.processes)
        if self._request.processes > 1:
            return min(share, 256), f"a device's share of {self._request.batch_size:,}"
        return min(share, 256), "the whole batch, until memory asks for less"

    def _trigger(self) -> str:
        return self._request.trigger or trigger_of(self._request.prompt, self._class_prompt())

    def _class_prompt(self) -> str:
        """The class itself is what the first line says."""
        return next(iter(self._request.class_prompts), "")

    def _sample_prompts(self) -> tuple[tuple[str, ...], str]:
        """The subject, the subject elsewhere, and its class, by which drift is seen."""
        subject = self._subject()
        scene = next(
            (found[0] for text in self._entry.examples if (found := _PLACE.search(text))),
            f" {_SCENE}",
        )
        elsewhere = f"{subject.rstrip('.')}{scene}" if subject else ""
        without = (self._class_prompt() or _without(subject, self._trigger())) or next(
            iter(self._entry.examples), ""
        )
        prompts = tuple(dict.fromkeys(filter(None, (subject, elsewhere, without))))
        return prompts, "the prompt, the prompt in another place, and the class, to see drift"

    def _subject(self) -> str:
        caption = next((each.caption for each in self._examples if each.caption), "")
        trigger, text = self._trigger(), self._request.prompt or caption
        if trigger and trigger.lower() not in text.lower():
            text = f"{trigger}, {text}" if text else trigger
        return text


_PLACE = re.compile(r" (?:on|in|at) .+$")


def _without(text: str, trigger: str) -> str:
    """A prompt without the word that calls the subject up; "" when it has none, or is no more."""
    if not trigger or trigger.lower() not in text.lower():
        return ""
    left = re.sub(re.escape(trigger), "", text, flags=re.IGNORECASE)
    return " ".join(left.split()).strip(" ,")


def _ordinal(number: int) -> str:
    return {3: "third", 4: "quarter", 5: "fifth"}.get(number, f"{number}th part")
