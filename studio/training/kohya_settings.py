"""Settings of trainings as kohya's scripts and their page write them, read as our own.

sd-scripts reads a TOML file of its command line's options, in tables or without; the page kohya_ss
saves JSON with names that differ in places. Both are taken, and what they do not say is as it is
there, not as it is here. What is left out is told.
https://github.com/kohya-ss/sd-scripts (library/train_util.py), https://github.com/bmaltais/kohya_ss
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.errors import RequestError
from studio.training.toml_files import LONGEST, fields_of, parsed
from studio.training_requests import HIGHEST_RATE, Method, Optimiser, Precision, RateSchedule

_MARKS = (
    *("network_dim", "network_module", "LoRA_type", "unet_lr", "text_encoder_lr", "output_name"),
    *("max_train_steps", "train_batch_size", "optimizer_type", "lr_scheduler", "mixed_precision"),
    *("pretrained_model_name_or_path", "train_data_dir"),
)
"""Options of theirs that no file of ours has."""
_OF_NO_MATTER = re.compile(
    r"^(?:async_upload|bucket_|cache_|caption_ext|color_aug|config_file|console_log|dataset_config|"
    r"ddp_|disable_mmap|dynamo_|extra_acc|factor$|flux1_|fp8_|full_|gpu_ids|highvram|huber_|"
    r"huggingface_|in_json|log_|logging_dir|lowram|lowvram|lr_scheduler_num|lr_scheduler_power|"
    r"LyCORIS|main_process|max_bucket|max_data_loader|max_token_length|mem_eff|metadata_|"
    r"min_bucket|model_list|multi_gpu|no_half_vae|no_metadata|noise_offset_type|num_cpu|num_mach|"
    r"num_proc|output_dir|persistent_data|resume|sample_sampler|save_|sd3_|sdpa|sdxl|skip_cache|"
    r"t5xxl_|text_encoder_batch|train_on_input|training_comment|unit$|use_safetensors|v2$|v_param|"
    r"vae_batch|wandb_|xformers)"
)
"""Options that do not change what is learnt, or that the studio decides itself."""
_OPTIMISERS = {
    "adamw": Optimiser.ADAMW,
    "adamw8bit": Optimiser.ADAMW_8BIT,
    "pagedadamw8bit": Optimiser.ADAMW_8BIT,
    "adafactor": Optimiser.ADAFACTOR,
    "prodigy": Optimiser.PRODIGY,
    "lion": Optimiser.LION,
    "lion8bit": Optimiser.LION,
    "adamwschedulefree": Optimiser.SCHEDULE_FREE,
}
_SCHEDULES = {
    "constant": RateSchedule.CONSTANT,
    "constant_with_warmup": RateSchedule.CONSTANT,
    "linear": RateSchedule.LINEAR,
    "cosine": RateSchedule.COSINE,
    "cosine_with_restarts": RateSchedule.COSINE_RESTARTS,
    "polynomial": RateSchedule.POLYNOMIAL,
}
_PRECISIONS = {
    "no": Precision.FLOAT32,
    "fp16": Precision.FLOAT16,
    "bf16": Precision.BFLOAT16,
}


@dataclass(frozen=True)
class FoundSettings:
    """What a file says. fields: for `validated(TrainRequest, ...)`. notices: what was left out."""

    fields: dict[str, Any]
    notices: tuple[str, ...] = ()


def read_settings(text: str) -> FoundSettings:
    """The settings in a file, whether it is our TOML, kohya's TOML or the JSON of kohya's page.

    Raises RequestError as `toml_files.read_toml` does.
    """
    tables = _json(text) if text.lstrip().startswith("{") else parsed(text)
    if "datasets" in tables:
        raise RequestError(
            "These settings describe pictures ([[datasets]]), not a training; put them into the "
            "folder of the pictures."
        )
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= value if isinstance(value, dict) else {key: value}
    if flat.keys().isdisjoint(_MARKS):
        return FoundSettings(fields_of(tables))
    reading = _Reading(flat)
    reading.read()
    return FoundSettings(reading.fields, tuple(reading.notices))


def _json(text: str) -> dict[str, Any]:
    try:
        if len(text) > LONGEST:
            raise ValueError(f"it has {len(text):,} characters of at most {LONGEST:,}")
        return dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The settings are no JSON: {error}; correct that place.") from None


class _Reading:
    """One file being read: what is taken is removed from what is left."""

    def __init__(self, options: Mapping[str, Any]):
        # Empty and zero is how their page says "not used".
        self._left = {key: value for key, value in options.items() if _used(value)}
        self._text_off = "text_encoder_lr" in options and "text_encoder_lr" not in self._left
        self.fields: dict[str, Any] = {
            "schedule": RateSchedule.CONSTANT.value,
            "warmup": 0.0,
            "min_snr_gamma": 0.0,
            "buckets": False,
        }
        self.notices: list[str] = []

    def read(self) -> None:
        self._unfold_arguments()
        self._read_method()
        for key, field, kind in _SAME:
            self._take(field, key, kind)
        if "rank" in self.fields:
            self.fields.setdefault("alpha", 1.0)
        self._read_rates()
        self._read_steps()
        self._read_pictures()
        for key, field, names in (
            ("optimizer_type", "optimiser", _OPTIMISERS),
            ("lr_scheduler", "schedule", _SCHEDULES),
            ("mixed_precision", "precision", _PRECISIONS),
        ):
            self._choose(field, key, names)
        for key in ("learning_rate", "text_rate"):
            if self.fields.get(key, 0) > HIGHEST_RATE and self.fields.get("optimiser") != "prodigy":
                rate = self.fields.pop(key)
                self.notices.append(f"Left out: {key} {rate:g}, which suits Prodigy alone.")
        left = sorted(key for key in self._left if not _OF_NO_MATTER.match(key))
        if left:
            self.notices.append(f"Left out, as nothing here answers to it: {', '.join(left)}.")

    def _unfold_arguments(self) -> None:
        """Bring `network_args = ["conv_dim=4"]`, also written as one text, among the others."""
        for key in ("network_args", "optimizer_args"):
            given = self._left.pop(key, ())
            for part in given.split() if isinstance(given, str) else given:
                name, _, value = str(part).partition("=")
                if _used(value):
                    self._left.setdefault(name.strip(), value.strip())
        for ours, theirs in (("optimizer_type", "optimizer"), ("resolution", "max_resolution")):
            if theirs in self._left:
                self._left.setdefault(ours, self._left.pop(theirs))
        if _truth(self._left.pop("use_8bit_adam", False)):
            self._left.setdefault("optimizer_type", "AdamW8bit")

    def _read_method(self) -> None:
        kind = str(self._left.pop("LoRA_type", "") or self._left.pop("algo", "")).lower()
        kind = re.split(r"[/ ]", kind)[-1]
        if kind == "standard":  # their page keeps these, but gives them to other kinds alone
            for key in ("conv_dim", "conv_alpha", "dora_wd", "factor"):
                self._left.pop(key, None)
        elif kind not in ("", "lora", "locon", "dora", "flux1", "sd3"):
            self.notices.append(f"A LoRA is trained, as {kind} is not trained here.")
        elif kind == "dora":
            self.fields["dora"] = True
        module = str(self._left.pop("network_module", "networks.lora"))
        if "token_string" in self._left:
            word = str(self._left.pop("token_string"))
            self.fields |= {"method": Method.TEXTUAL_INVERSION.value, "trigger": word}
        elif not re.search(r"lora|lycoris|^networks", module):
            self.notices.append(f"A LoRA is trained, as {module} is not known here.")
        if not self._left.pop("multires_noise_iterations", 0):
            self._left.pop("multires_noise_discount", None)
        if str(self._left.get("clip_skip", "")) == "1":
            del self._left["clip_skip"]
        for key, usual in (("loss_type", "l2"), ("max_timestep", 1000)):
            if self._left.get(key) == usual:
                del self._left[key]

    def _read_rates(self) -> None:
        """Theirs trains the text encoders too when it is not told otherwise."""
        off = self._text_off or _truth(self._left.pop("network_train_unet_only", False))
        off |= any("cache_text_encoder_outputs" in key for key in self._left)
        shared = self._number("learning_rate")
        own, text = self._number("unet_lr"), self._number("text_encoder_lr")
        rate = shared if own is None else own
        if rate is not None:
            self.fields["learning_rate"] = rate
        text = shared if text is None else text
        self.fields["text_encoder"] = text is not None and not off
        if text is not None and not off:
            self.fields["text_rate"] = text

    def _read_steps(self) -> None:
        self._take("steps", "max_train_steps", _whole)
        epochs, usual = (self._left.pop(key, None) for key in ("max_train_epochs", "epoch"))
        if epochs or (usual and "steps" not in self.fields):
            self.fields.pop("steps", None)
            self.notices.append(
                f"Steps follow from the pictures, as the file gives {epochs or usual} epochs alone."
            )
        batch, times = self._number("train_batch_size"), self._number("gradient_accumulation_steps")
        if batch is not None or times is not None:
            self.fields["batch_size"] = int(batch or 1) * int(times or 1)
            if (times or 1) > 1:
                self.fields["micro_batch"] = int(batch or 1)
        percent, warmup = self._number("lr_warmup"), self._number("lr_warmup_steps")
        if warmup is not None and warmup >= 1:
            steps = self.fields.get("steps")
            if steps is None:
                self.notices.append(f"Left out: {warmup:g} steps of warm-up of an unknown number.")
            self.fields["warmup"] = min(1.0, warmup / steps) if steps else 0.0
        elif warmup is not None or percent is not None:
            self.fields["warmup"] = warmup if warmup is not None else (percent or 0) / 100

    def _read_pictures(self) -> None:
        sides = [float(s) for s in re.findall(r"\d+", str(self._left.pop("resolution", "")))[:2]]
        if sides:
            self.fields["resolution"] = round((sides[0] * sides[-1]) ** 0.5)
        prompts = self._left.pop("sample_prompts", None)
        if isinstance(prompts, str) and not re.fullmatch(r"\S+\.(?:txt|toml|json)", prompts):
            lines = (re.sub(r"\s--\w.*", "", line).strip() for line in prompts.splitlines())
            self.fields["sample_prompts"] = [s for s in lines if s and not s.startswith("#")][:16]
        elif prompts:
            self.notices.append(f"Sample prompts are in {prompts!r}, which is not read.")
        for key, thing in (
            ("pretrained_model_name_or_path", "The model is {!r}: choose it among those here."),
            ("train_data_dir", "The pictures are in {!r}: give them as a picture set."),
            ("reg_data_dir", "Class pictures are in {!r}: here they are made of a class prompt."),
        ):
            if key in self._left:
                self.notices.append(thing.format(str(self._left.pop(key))))

    def _take(self, field: str, key: str, kind: Callable[[Any], Any]) -> None:
        if key in self._left:
            value = self._left.pop(key)
            try:
                self.fields[field] = kind(value)
            except (TypeError, ValueError, OverflowError):
                self._odd(key, value)

    def _number(self, key: str) -> float | None:
        """A number; of several, as one for each text encoder, the first."""
        value = self._left.pop(key, None)
        if isinstance(value, list):
            value = value[0] if value else None
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError):
            self._odd(key, value)
            return None

    def _choose(self, field: str, key: str, names: Mapping[str, Any]) -> None:
        if key in self._left:
            value = self._left.pop(key)
            found = names.get(str(value).rpartition(".")[2].lower())
            if found is None:
                self._odd(key, value)
            else:
                self.fields[field] = found.value

    def _odd(self, key: str, value: object) -> None:
        self.notices.append(f"Left out: {key} is {str(value)[:60]!r}, which is not known here.")


def _used(value: object) -> bool:
    return str(value).strip().lower() not in ("", "0", "0.0", "false", "none", "[]")


def _truth(value: object) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes")


def _whole(value: object) -> int:
    return int(float(str(value)))


_SAME: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("output_name", "name", str),
    ("network_dim", "rank", _whole),
    ("network_alpha", "alpha", float),
    ("conv_dim", "conv_rank", _whole),
    ("conv_alpha", "conv_alpha", float),
    ("network_dropout", "dropout", float),
    ("dropout", "dropout", float),
    ("dora_wd", "dora", _truth),
    ("rs_lora", "rslora", _truth),
    ("weight_decay", "weight_decay", float),
    ("max_grad_norm", "clip_norm", float),
    ("min_snr_gamma", "min_snr_gamma", float),
    ("noise_offset", "noise_offset", float),
    ("multires_noise_discount", "multires_noise", float),
    ("seed", "seed", _whole),
    ("gradient_checkpointing", "checkpointing", _truth),
    ("torch_compile", "compile", _truth),
    ("enable_bucket", "buckets", _truth),
    ("flip_aug", "flip", _truth),
    ("shuffle_caption", "shuffle_tags", _truth),
    ("keep_tokens", "keep_tokens", _whole),
    ("caption_dropout_rate", "caption_dropout", float),
    ("validation_split", "held_out", float),
    ("prior_loss_weight", "prior_weight", float),
    ("save_every_n_steps", "save_every", _whole),
    ("sample_every_n_steps", "sample_every", _whole),
    ("init_word", "initial_word", str),
    ("num_vectors_per_token", "vectors", _whole),
)
"""Options that mean the same under another name."""
