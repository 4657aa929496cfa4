"""What a trained file says of itself in its header, in the words that other tools look for.

Sources: kohya-ss/sd-scripts (train_network.py and library/train_util.py; ss_* and the two hashes
sshs_*), Stability AI's ModelSpec 1.0.1 (library/sai_model_spec.py), and what AUTOMATIC1111's
extensions-builtin/Lora/network.py makes of them: it takes a file for Stable Diffusion 1 unless
ss_base_model_version begins with "sdxl_" or ss_v2 is "True".
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import studio
from studio.training.export.facts import Facts
from studio.training_requests import Precision, RateSchedule

_BASES = {"sd": "sd_v1", "sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0", "sd3": "sd3"}
_KINDS = {
    "sd": "stable-diffusion-v1",
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
    "sdxl-refiner": "stable-diffusion-xl-v1-refiner",
    "sd3": "stable-diffusion-3",
    "flux-dev": "flux-1-dev",
    "flux-schnell": "flux-1-schnell",
}
_SGM = "https://github.com/Stability-AI/generative-models"
_FLUX = "https://github.com/black-forest-labs/flux"
_MIXED = {Precision.FLOAT32: "no", Precision.FLOAT16: "fp16", Precision.BFLOAT16: "bf16"}
_SCHEDULES = {RateSchedule.COSINE_RESTARTS: "cosine_with_restarts"}
_THUMBNAIL = 256
"""Pixels along its longer side: a header is read whenever LoRAs are listed."""
_TAGS = 2000
"""Of all folders together, the commonest; captions that are sentences are as many as pictures."""
LORA, EMBEDDING = "lora", "textual-inversion"


def base_version(family: str, *, velocity: bool) -> str:
    """ss_base_model_version of a family by its key."""
    key = family.removesuffix("-inpaint")
    found = _BASES.get(key, "flux1" if key.startswith("flux") else key.replace("-", "_"))
    return "sd_v2_v" if found == "sd_v2" and velocity else found


def architecture(family: str, adapter: str = "", *, velocity: bool) -> str:
    """modelspec.architecture of a family by its key; adapter: LORA, EMBEDDING, "" for a model."""
    key = family.removesuffix("-inpaint")
    found = _KINDS.get(key, key)
    if key == "sd2" and velocity:
        found = "stable-diffusion-v2-768-v"
    if family.endswith("-inpaint"):
        found += "-inpaint"
    return found + (f"/{adapter}" if adapter else "")


def network_words(
    ranks: tuple[int, float], convolutions: tuple[int, float] | None, *, dora: bool
) -> dict[str, str]:
    """What ss_* says of a LoRA's own shape; ranks, convolutions: rank and alpha."""
    arguments: dict[str, str] = {}
    if dora:
        arguments = {"algo": "locon", "dora_wd": "True", "wd_on_output": "True"}
    if convolutions:
        arguments |= {"conv_dim": str(convolutions[0]), "conv_alpha": f"{convolutions[1]:g}"}
    return {
        "ss_network_module": "lycoris.kohya" if dora else "networks.lora",
        "ss_network_dim": str(ranks[0]),
        "ss_network_alpha": f"{ranks[1]:.8g}",
        "ss_network_args": json.dumps(arguments),
    }


def training_words(facts: Facts) -> dict[str, str]:
    """ss_* of a training, all of them strings; nested ones are JSON."""
    asked = facts.request
    rate = asked.learning_rate or 0.0
    text_rate = (asked.text_rate or rate) if asked.text_encoder else 0.0
    schedule = _SCHEDULES.get(asked.schedule, asked.schedule.value)
    warm = round(asked.warmup * facts.steps)
    folders = {
        name: {"n_repeats": repeats, "img_count": pictures}
        for name, (repeats, pictures) in facts.folders.items()
    }
    told = {
        "ss_output_name": asked.name,
        "ss_sd_model_name": facts.base,
        "ss_sd_model_hash": facts.base_legacy,
        "ss_new_sd_model_hash": facts.base_sha256,
        "ss_v2": str(facts.family.startswith("sd2")),
        "ss_base_model_version": base_version(facts.family, velocity=facts.velocity),
        "ss_learning_rate": f"{rate:g}",
        "ss_unet_lr": f"{rate:g}",
        "ss_text_encoder_lr": f"{text_rate:g}",
        "ss_optimizer": asked.optimiser.value,
        "ss_lr_scheduler": schedule + ("_with_warmup" if schedule == "constant" and warm else ""),
        "ss_lr_warmup_steps": str(warm),
        "ss_num_train_images": str(facts.pictures),
        "ss_num_reg_images": str(facts.class_pictures),
        "ss_prior_loss_weight": f"{asked.prior_weight:g}",
        "ss_num_epochs": str(facts.epochs),
        "ss_epoch": str(facts.epoch),
        "ss_steps": str(facts.step),
        "ss_max_train_steps": str(facts.steps),
        "ss_batch_size_per_device": str(facts.batch),
        "ss_total_batch_size": str(facts.batch * facts.accumulation * facts.processes),
        "ss_gradient_accumulation_steps": str(facts.accumulation),
        "ss_gradient_checkpointing": str(facts.checkpointing),
        "ss_mixed_precision": _MIXED.get(Precision(facts.precision), "no"),
        "ss_resolution": str(facts.resolution),
        "ss_enable_bucket": str(asked.buckets),
        "ss_bucket_info": json.dumps(_buckets(facts)),
        "ss_dataset_dirs": json.dumps(folders),
        "ss_tag_frequency": json.dumps(dict(_tags(facts)), ensure_ascii=False),
        "ss_clip_skip": "None",
        "ss_seed": str(asked.seed),
        "ss_min_snr_gamma": f"{asked.min_snr_gamma:g}" if asked.min_snr_gamma else "None",
        "ss_noise_offset": f"{asked.noise_offset:g}" if asked.noise_offset else "None",
        "ss_multires_noise_discount": f"{asked.multires_noise:g}",
        "ss_max_grad_norm": f"{asked.clip_norm:g}",
        "ss_caption_dropout_rate": f"{asked.caption_dropout:g}",
        "ss_shuffle_caption": str(asked.shuffle_tags),
        "ss_keep_tokens": str(asked.keep_tokens),
        "ss_flip_aug": str(asked.flip),
        "ss_network_dropout": f"{asked.dropout:g}" if asked.dropout else "None",
        "ss_cache_latents": "True",
        "ss_training_started_at": f"{facts.started:.6f}",
        "ss_training_finished_at": f"{facts.finished:.6f}",
        "ss_training_comment": _comment(facts),
        "ss_session_id": str(_session(facts)),
        "ss_sd_scripts_commit_hash": "",
    }
    return {key: value for key, value in told.items() if value}


def spec_words(facts: Facts, adapter: str = "") -> dict[str, str]:
    """modelspec.* of a training's outcome; adapter: LORA, EMBEDDING, "" for a whole model."""
    from studio.models.families import FAMILIES

    asked = facts.request
    width, height = facts.resolution
    flow = any(family.key == facts.family and family.flow for family in FAMILIES)
    when = datetime.fromtimestamp(facts.finished or facts.started, UTC)
    flux = facts.family.startswith("flux")
    told = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture(facts.family, adapter, velocity=facts.velocity),
        "modelspec.implementation": _FLUX if flux else _SGM,
        "modelspec.implementation_version": f"atelier/{studio.__version__}",
        "modelspec.title": asked.name,
        "modelspec.date": when.isoformat(timespec="seconds"),
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.prediction_type": "" if flow else ("v" if facts.velocity else "epsilon"),
        "modelspec.trigger_phrase": facts.trigger,
        "modelspec.tags": ", ".join(facts.triggers),
        "modelspec.usage_hint": f"Write {facts.trigger} into the prompt." if facts.trigger else "",
        "modelspec.description": _comment(facts),
        "modelspec.license": facts.licence,
        "modelspec.thumbnail": thumbnail(facts.thumbnail),
    }
    return {key: value for key, value in told.items() if value}


def thumbnail(picture: bytes) -> str:
    """A small JPEG of a picture file as a data URI; "" for none that can be read."""
    from PIL import Image

    if not picture:
        return ""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _tags(facts: Facts) -> list[tuple[str, dict[str, int]]]:
    """The commonest by folder, so that a header stays small."""
    counted = sorted(
        (
            (-count, folder, tag)
            for folder, tags in facts.tags.items()
            for tag, count in tags.items()
        )
    )[:_TAGS]
    kept: dict[str, dict[str, int]] = {folder: {} for folder in facts.tags}
    for count, folder, tag in counted:
        kept[folder][tag] = -count
    return list(kept.items())


def _buckets(facts: Facts) -> dict[str, object]:
    if not facts.request.buckets:
        return {}
    found = enumerate(sorted(facts.buckets.items()))
    listed = {str(n): {"resolution": list(size), "count": count} for n, (size, count) in found}
    return {"buckets": listed}


def _comment(facts: Facts) -> str:
    """The training in a line."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in facts.curve.items())
    asked = facts.request
    text = f"{asked.method.value} from {facts.pictures} pictures, step {facts.step}"
    return f"{text}: {values}" if values else text


def _session(facts: Facts) -> int:
    """A number that is the run's own, the same each time it is written."""
    text = f"{facts.request.name} {facts.started:.6f}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def all_words(
    facts: Facts, adapter: str = "", network: Mapping[str, str] | None = None
) -> dict[str, str]:
    """ss_* and modelspec.* together."""
    return {**training_words(facts), **(network or {}), **spec_words(facts, adapter)}
