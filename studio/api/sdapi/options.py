"""The options of AUTOMATIC1111's settings page, as far as they mean something here.

Some can be set, and hold for what programs ask by this API without saying otherwise. What an
administrator sets holds for everybody, and the model for the whole studio; what others set, also
the model, is theirs alone and goes over it. The rest tells how it is here and cannot be changed.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from studio.api.sdapi.names import model_named, title_of
from studio.audit import Act, Audit, audited
from studio.errors import RequestError
from studio.models.entry import ModelEntry
from studio.people import Deed, acting, needs
from studio.requests import ImageFormat
from studio.services import Services
from studio.store.preferences import OptionTable
from studio.store.writing import replace_file

_FILE = "sdapi.json"
MODEL = "sd_model_checkpoint"
_FORMATS = {"png": ImageFormat.PNG, "jpg": ImageFormat.JPEG, "jpeg": ImageFormat.JPEG}
_FORMATS |= {"webp": ImageFormat.WEBP}
FIXED: dict[str, Any] = {
    "sd_vae": "Automatic",
    "sd_unet": "Automatic",
    "samples_save": True,
    "grid_save": False,
    "return_grid": False,
    "return_mask": False,
    "return_mask_composite": False,
    "enable_pnginfo": True,
    "save_images_add_number": True,
    "jpeg_quality": 95,
    "webp_lossless": False,
    "randn_source": "CPU",
    "eta_noise_seed_delta": 0,
    "eta_ancestral": 1.0,
    "eta_ddim": 0.0,
    "s_churn": 0.0,
    "s_tmin": 0.0,
    "s_noise": 1.0,
    "s_min_uncond": 0.0,
    "token_merging_ratio": 0.0,
    "img2img_fix_steps": False,
    "img2img_color_correction": False,
    "img2img_background_color": "#ffffff",
    "initial_noise_multiplier": 1.0,
    "inpainting_mask_weight": 1.0,
    "face_restoration": False,
    "tiling": False,
    "comma_padding_backtrack": 20,
    "upcast_attn": False,
    "hypertile_enable_unet": False,
    "hypertile_enable_vae": False,
}
"""How these are here, whatever is asked."""
_LOOSELY = {"none", "auto", "automatic"}


class Chosen(BaseModel):
    """The options that can be set."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    CLIP_stop_at_last_layers: int = Field(default=1, ge=1, le=12)
    samples_format: str = Field(default="png", pattern=f"^(?:{'|'.join(_FORMATS)})$")
    show_progress_every_n_steps: int = Field(default=10, ge=-1, le=50)
    live_previews_enable: StrictBool = True

    @property
    def format(self) -> ImageFormat:
        """The file format of pictures."""
        return _FORMATS[self.samples_format]

    @property
    def preview_every(self) -> int:
        """Steps between previews, 0 for none."""
        return max(0, self.show_progress_every_n_steps) if self.live_previews_enable else 0


@dataclass(frozen=True)
class InForce:
    """What holds for one request."""

    chosen: Chosen
    model: ModelEntry


class Options:
    """The options of who is at work; those that were set outlive the server."""

    def __init__(self, services: Services):
        self._services = services
        self._own = OptionTable(services.database)
        self._path = services.settings.data_dir / _FILE
        self._lock = threading.Lock()
        self._chosen: Chosen | None = None

    def all(self) -> dict[str, Any]:
        """Every option by its name."""
        catalogue, own = self._services.catalogue, self._own.own()
        entry = self._chosen_model(own) or catalogue.get("")
        return {
            MODEL: title_of(entry, catalogue),
            "sd_checkpoint_hash": catalogue.known_sha256(entry),
            **self._now(own).model_dump(),
            **FIXED,
        }

    def set(self, wanted: Mapping[str, Any]) -> None:
        """Change options; RequestError, and nothing is changed, when one of them cannot be."""
        acting().must_be_allowed(Deed.MAKE)
        with self._lock:
            if acting().is_administrator:
                self._set_for_all(wanted)
            else:
                self._set_own(wanted)

    def in_force(self, overrides: Mapping[str, Any]) -> InForce:
        """What holds for a request with these overrides; RequestError when one cannot be had."""
        own = self._own.own()
        chosen = _changed(self._now(own), overrides)
        model = overrides.get(MODEL)
        entry = None if model else self._chosen_model(own)
        return InForce(chosen, entry or self._entry(model or ""))

    def _set_for_all(self, wanted: Mapping[str, Any]) -> None:
        chosen = _changed(self._for_all(), wanted)
        model = wanted.get(MODEL)
        entry = self._entry(model) if model is not None else None
        if entry is not None and entry.id != self._services.catalogue.get("").id:
            self._services.library.make_default(entry.id)
        if chosen != self._chosen:
            self._keep(chosen)

    @property
    def audit(self) -> Audit:
        """Where changes are noted."""
        return self._services.audit

    @audited(Act.OPTIONS, lambda self, chosen: _differences(self._for_all(), chosen))
    @needs(Deed.CHANGE_SETTINGS)
    def _keep(self, chosen: Chosen) -> None:
        replace_file(self._path, chosen.model_dump_json().encode())
        self._chosen = chosen

    def _set_own(self, wanted: Mapping[str, Any]) -> None:
        own = self._own.own()
        _changed(self._now(own), wanted)
        known = Chosen.model_fields.keys() & wanted.keys()
        own |= {name: wanted[name] for name in known if wanted[name] is not None}
        if (model := wanted.get(MODEL)) is not None:
            entry = self._entry(model)
            own[MODEL] = entry.id if model else ""
        self._own.set(own)

    def _chosen_model(self, own: Mapping[str, Any]) -> ModelEntry | None:
        """The model that somebody has chosen for themselves, as long as it is there for them."""
        entries = self._services.catalogue.entries() if MODEL in own else []
        return next((e for e in entries if e.id == own[MODEL] and not e.problem), None)

    def _entry(self, name: Any) -> ModelEntry:
        if not isinstance(name, str):
            raise RequestError(f"{MODEL} must be the title of a model.", MODEL)
        if not name:
            return self._services.catalogue.usable("")
        return model_named(name, self._services.catalogue)

    def _now(self, own: Mapping[str, Any]) -> Chosen:
        """What holds for somebody who has set these for themselves."""
        try:
            return _changed(self._for_all(), {k: own[k] for k in own if k != MODEL})
        except RequestError:  # by an older version, which took what is refused today
            return self._for_all()

    def _for_all(self) -> Chosen:
        if self._chosen is None:
            self._chosen = _read(self._path)
        return self._chosen


def _differences(old: Chosen, new: Chosen) -> str:
    before = old.model_dump()
    return ", ".join(f"{n} {v}" for n, v in new.model_dump().items() if v != before[n])


def _read(path: Path) -> Chosen:
    try:
        return Chosen.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # there is none, or somebody has spoilt it
        return Chosen()


def _changed(chosen: Chosen, wanted: Mapping[str, Any]) -> Chosen:
    """The options with changes; unknown names are passed over, as there."""
    for name in FIXED.keys() & wanted.keys():
        if not _same(wanted[name], FIXED[name]):
            raise RequestError(
                f"Option {name} is {FIXED[name]!r} here and cannot be changed.", name
            )
    own = {name: wanted[name] for name in Chosen.model_fields.keys() & wanted.keys()}
    given = {name: value for name, value in own.items() if value is not None}
    if not given:
        return chosen
    try:
        return Chosen.model_validate({**chosen.model_dump(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0])
        rule = first["msg"].replace("Input should", "must").replace("String should", "must")
        raise RequestError(f"Option {name} {rule}.", name) from None


def _same(wanted: Any, fixed: Any) -> bool:
    """Whether a value means what is so anyway; null and "None" stand for automatic."""
    if wanted is None:
        return True
    if isinstance(fixed, str) and isinstance(wanted, str):
        words = {wanted.casefold(), fixed.casefold()}
        return len(words) == 1 or words <= _LOOSELY
    return bool(wanted == fixed)
