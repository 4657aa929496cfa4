"""The UNet with its text encoder: how they are built, and how they compute in training."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.embedded import checkpoint
from training.embedded.recipes import Recipe
from training.embedded.workshop import workshop

TOKENS = 77
SHORT = 32
"""Most steps cut the padding after so many tokens, which saves an eighth of the time."""

GRADIENT_ERROR = 1e-3
"""How far gradients of compiled steps may be from plain ones, as a share of their length."""


class Words:
    """Captions as padded token ids."""

    def __init__(self, folder: Path):
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)

    def ids(self, texts: list[str], length: int = TOKENS) -> torch.Tensor:
        """Token ids (b, n) with n = `length`, or 77 if a text is too long for that."""
        padded = self.tokenizer(
            texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        )
        ended = (padded.input_ids[:, length - 1] == self.tokenizer.pad_token_id).all()
        return padded.input_ids[:, :length] if ended else padded.input_ids


class Painter(nn.Module):
    """The UNet and its text encoder."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel):
        super().__init__()
        self.unet, self.text = unet, text
        self.quick: Callable = unet.forward

    def compile_steps(self, noisy: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> None:
        """Compile the UNet for the training steps whose captions are cut short, as these are.

        SystemExit when its gradients are not those of plain steps: in bfloat16 the words get none,
        and of smaller networks some weights get wrong ones (torch 2.13).
        """
        plain = self._gradients(noisy, t, ids)
        self.quick = torch.compile(self.unet.forward, dynamic=False)
        quick = self._gradients(noisy, t, ids)
        for part, gradient in plain.items():
            length, error = gradient.norm(), (quick[part] - gradient).norm()
            if not error <= GRADIENT_ERROR * length:  # a part that is not trained has none
                raise SystemExit(
                    f"Compiled steps give the {part} gradients that are {error / length:.1%} "
                    "beside plain ones: leave EMBEDDED_COMPILE out."
                )

    def _gradients(
        self, noisy: torch.Tensor, t: torch.Tensor, ids: torch.Tensor
    ) -> checkpoint.Tensors:
        self.zero_grad(set_to_none=True)
        self(noisy, t, ids).square().mean().backward()
        found = {}
        for name, part in (("UNet", self.unet), ("text encoder", self.text)):
            grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in part.parameters()]
            found[name] = torch.cat([grad.flatten() for grad in grads])
        self.zero_grad(set_to_none=True)
        return found

    def forward(self, noisy: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The predicted velocity (b, 4, h, w) of noisy latents, timesteps (b,) and ids (b, 77)."""
        states = self.text(ids).last_hidden_state
        quick = torch.is_grad_enabled() and ids.shape[1] == SHORT
        unet = self.quick if quick else self.unet
        return unet(noisy, t, states, return_dict=False)[0]


class PlainAttention:
    """Attention as three plain products in float32, for so few tokens that nothing need be fused.

    The fused one is half as fast here in float32 and a third as fast in bfloat16; the products in
    bfloat16 would be as fast as these, but gradients of queries and keys come out 20% beside.
    """

    def __call__(
        self,
        attention: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the tokens (b, n, c) take from the others, by default from themselves."""
        others = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        parts = attention.to_q(hidden_states), attention.to_k(others), attention.to_v(others)
        with torch.autocast("cpu", enabled=False):
            q, k, v = (attention.head_to_batch_dim(part.float()) for part in parts)
            shares = torch.bmm(q * attention.scale, k.transpose(1, 2)).softmax(-1)
            taken = attention.batch_to_head_dim(torch.bmm(shares, v))
        out, dropout = attention.to_out
        return dropout(out(taken.to(parts[0].dtype)))


def unet_config(recipe: Recipe) -> dict:
    """The UNet's architecture."""
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in recipe.attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(recipe.attention))
    return {
        "sample_size": 16,
        "block_out_channels": recipe.widths,
        "down_block_types": down,
        "up_block_types": up,
        "layers_per_block": 1,
        "cross_attention_dim": 256,
        "attention_head_dim": 4,
    }


def text_config(words: Words) -> CLIPTextConfig:
    """The text encoder's architecture."""
    tokenizer = words.tokenizer
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build(recipe: Recipe, words: Words) -> Painter:
    """The painter that a run starts with."""
    torch.manual_seed(recipe.seed)
    if recipe.start is None:
        unet = UNet2DConditionModel(**unet_config(recipe))
        text = CLIPTextModel(text_config(words))
    else:
        unet = UNet2DConditionModel(**unet_config(recipe))
        graft(unet, load_file(recipe.start / "unet" / "diffusion_pytorch_model.safetensors"))
        text = CLIPTextModel.from_pretrained(recipe.start / "text_encoder", dtype=torch.float32)
    if recipe.taught:
        stored, _ = checkpoint.load(workshop() / "words.safetensors")
        if not stored:
            raise SystemExit("No words are taught: run python -m training.embedded words first.")
        text.load_state_dict(checkpoint.pick(stored, "text"))
    return Painter(unet, text)


def graft(network: nn.Module, weights: checkpoint.Tensors) -> bool:
    """Take weights of a network without attention at some level; whether any was missing.

    What is new adds nothing to begin with: its last layer is zero, as in ControlNet (Zhang et al.
    2023). Raises SystemExit when anything but attention is missing or left over.
    """
    stored = {name: weight.float() for name, weight in weights.items()}
    missing, unknown = network.load_state_dict(stored, strict=False)
    odd = [name for name in missing if ".attentions." not in name] + unknown
    if odd:
        raise SystemExit(f"The weights are of another network: {odd[0]} and {len(odd) - 1} others.")
    own = dict(network.named_parameters())
    for name in missing:
        if ".proj_out." in name:
            nn.init.zeros_(own[name])
    return bool(missing)
