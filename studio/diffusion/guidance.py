"""Guidance: what each step is conditioned on and how the predictions are combined.

Classifier-free guidance after Ho and Salimans 2022 (arXiv 2207.12598), with several conditions
after Liu et al. 2022 (arXiv 2206.01714): e = e_neg + s * sum_k w_k (e_k - e_neg).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from studio.diffusion.conditioning import PromptStates, TextEncoding, TextStates, pad_together
from studio.diffusion.prompt import plan
from studio.requests import PictureRequest


@dataclass(frozen=True)
class Conditions:
    """Text states of one step: the negative prompt first, then the parts of the prompt.

    embeds: (1 + parts, tokens, width). pooled: (1 + parts, width) or None. weights: of the parts.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None
    weights: tuple[float, ...]

    def to(self, device: torch.device | None) -> "Conditions":
        """The same on a device; None leaves them where they are."""
        pooled = None if self.pooled is None else self.pooled.to(device)
        return Conditions(self.embeds.to(device), pooled, self.weights)


Predict = Callable[[torch.Tensor, torch.Tensor, Conditions], torch.Tensor]
"""Noisy latents (n * (1 + parts), c, h, w), time and conditions to a prediction of that shape."""


class PromptGuidance:
    """The conditions of a request's prompts, encoded once and looked up by step.

    zero_empty: an empty negative prompt is all zeros, as SDXL was trained with. device: where the
    states belong, when that is not where the text encoders have left them.
    """

    def __init__(
        self,
        encoding: TextEncoding,
        request: PictureRequest,
        zero_empty: bool = False,
        device: torch.device | None = None,
    ):
        self._steps = request.steps
        self._device = device
        self._prompt = PromptStates(
            encoding, plan(request.prompt, request.steps), request.clip_skip
        )
        self._negative = PromptStates(
            encoding,
            plan(request.negative_prompt, request.steps, composable=False),
            request.clip_skip,
        )
        self._zero_negative = zero_empty and not request.negative_prompt
        self._last: tuple[tuple[object, ...], Conditions] | None = None

    def at(self, position: float) -> Conditions:
        """What holds at a position in the run, from 0 to just below 1."""
        # 15 / 22 * 22 is a little less than 15.
        step = int(position * self._steps + 1e-6) + 1
        ((_, negative),) = self._negative.at(step)
        weights, parts = zip(*self._prompt.at(step), strict=True)
        key = (negative, *parts)
        # Most prompts never change; those that do are stacked anew, for many of them are large.
        if self._last is None or any(a is not b for a, b in zip(self._last[0], key, strict=True)):
            first = _zeros_like(negative) if self._zero_negative else negative
            stacked = _stack([first, *parts], self._prompt.empty, weights)
            self._last = key, stacked.to(self._device)
        return self._last[1]


def guided(
    predict: Predict,
    model_input: torch.Tensor,
    t: torch.Tensor,
    conditions: Conditions,
    cfg_scale: float,
) -> torch.Tensor:
    """The guided prediction (b, c, h, w), all conditions in one pass.

    Without guidance (scale 1 and one part of weight 1) the negative prompt is not evaluated.
    """
    if cfg_scale == 1 and conditions.weights == (1.0,):
        pooled = None if conditions.pooled is None else conditions.pooled[1:]
        return predict(model_input, t, Conditions(conditions.embeds[1:], pooled, (1.0,)))
    count = len(conditions.embeds)
    negative, *parts = predict(torch.cat([model_input] * count), t, conditions).chunk(count)
    result = negative
    for weight, part in zip(conditions.weights, parts, strict=True):
        result = result + cfg_scale * weight * (part - negative)
    return result


def _stack(states: list[TextStates], empty: TextStates, weights: tuple[float, ...]) -> Conditions:
    padded = pad_together(states, empty)
    pooled = [each.pooled for each in padded if each.pooled is not None]
    return Conditions(
        torch.cat([_joined(each) for each in padded]),
        torch.cat(pooled) if pooled else None,
        weights,
    )


def _joined(states: TextStates) -> torch.Tensor:
    if states.tail is None:
        return states.embeds
    return torch.cat([states.embeds, states.tail], dim=1)


def _zeros_like(states: TextStates) -> TextStates:
    """Zeros for those families that are trained with them; none of these has a tail."""
    pooled = None if states.pooled is None else torch.zeros_like(states.pooled)
    return TextStates(torch.zeros_like(states.embeds), pooled)
