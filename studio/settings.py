"""Settings: command line over environment (ATELIER_*) over atelier.toml over defaults."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from studio.errors import SettingsError

SETTINGS_FILE = "atelier.toml"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _bytes(value: Any) -> Any:
    """Bytes from `6GB`, `512 MiB` or a plain number."""
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "").upper()
    number = text.rstrip("KMGIB")
    unit = text[len(number) :]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError("should be a size such as 6GB, 512MiB or 0 for automatic") from None


def _named(value: Any) -> Any:
    """Refuse the empty path, which would be the working folder."""
    if value == "" or "\0" in str(value):
        raise ValueError("should be the path of a folder")
    return value


def _folder(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("should be the path of a folder; there is no such user") from None


Folder = Annotated[Path, BeforeValidator(_named), AfterValidator(_folder)]
Size = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]


class Settings(BaseSettings):
    """All that can be set before the start.

    Sizes are bytes and may be written 6GB or 512MiB; 0 means automatic.
    """

    model_config = SettingsConfigDict(env_prefix="ATELIER_", extra="forbid", frozen=True)

    data_dir: Folder = Field(
        default_factory=lambda: user_data_path("atelier", appauthor=False),
        description="Folder for everything that is written: pictures, database, models, runs.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on; 0 for any free one.")
    root_path: str = Field("", description="Path prefix when served behind a proxy.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, mps, xpu or xpu:N.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Number format of model weights; auto takes what is fast and right."
    )
    attention: Literal["sdpa", "xformers"] = Field(
        "sdpa", description="Attention kernels; xformers must be installed to be chosen."
    )
    memory_budget: Size = Field(
        0,
        description="Most that models may hold on the device; automatic is 90% of a GPU's memory.",
    )
    main_memory_budget: Size = Field(
        0,
        description="Most that models may hold in main memory while others have the GPU; "
        "automatic is half of it.",
    )
    idle_minutes: float = Field(
        60, ge=0, le=10_000, description="Minutes until an unused model leaves memory; 0 keeps it."
    )
    default_model: str = Field("", description="Id of the model in use at the start.")
    max_waiting_jobs: int = Field(200, ge=1, le=100_000, description="Longest queue of jobs.")
    max_upload: Size = Field(50 * 10**6, description="Largest file that can be dropped.")
    trash_days: int = Field(
        30, ge=0, le=3650, description="Days until pictures in the trash are deleted; 0 keeps them."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is written to the log."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=settings_file())
        return init_settings, env_settings, toml


def settings_file() -> Path:
    """The file that is read: ATELIER_CONFIG, or atelier.toml in the working folder."""
    return Path(os.environ.get("ATELIER_CONFIG", SETTINGS_FILE))


def load_settings(**overrides: Any) -> Settings:
    """Settings from all sources; overrides that are None are left to the other sources.

    Raises SettingsError with one line that names the key, the value and what is allowed.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    _refuse_unknown_variables()
    if "ATELIER_CONFIG" in os.environ and not settings_file().is_file():
        raise SettingsError(
            f"ATELIER_CONFIG is {str(settings_file())!r}, but there is no such file; "
            "correct the path or unset it."
        )
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    except OSError as error:
        raise SettingsError(
            f"{settings_file()} cannot be read ({error.strerror}); correct it or remove it."
        ) from None
    except ValueError as error:  # TOML syntax
        raise SettingsError(
            f"{settings_file()} is not valid TOML ({error}); correct it or remove it."
        ) from None


def _refuse_unknown_variables() -> None:
    """A mistyped variable would be ignored without a word."""
    known = {f"ATELIER_{key.upper()}" for key in Settings.model_fields} | {"ATELIER_CONFIG"}
    for name in os.environ:
        if name.upper().startswith("ATELIER_") and name.upper() not in known:
            raise SettingsError(
                f"Environment variable {name} is no setting; known are {', '.join(sorted(known))}."
            )


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    key = str(first["loc"][0])
    known = Settings.model_fields
    if key not in known:
        return f"Setting {key!r} is not known; known are {', '.join(known)}."
    rule = first["msg"].removeprefix("Value error, ")
    rule = rule.replace("Input should", "must").replace("String should", "must")
    rule = rule.replace("should be", "must be").split("pattern")[0]
    if rule.startswith("must match"):
        rule = "must be one of: " + (known[key].description or "").rstrip(".")
    return f"Setting {key} (ATELIER_{key.upper()}) is {first['input']!r}, but it {rule}."
