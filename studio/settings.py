"""Settings: command line over environment (ATELIER_*) over atelier.toml over defaults."""

import os
import re
from collections.abc import Collection
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
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


def _prefix(value: str) -> str:
    """A path prefix with a slash before it and none behind it, or a whole address."""
    value = value.strip().rstrip("/")
    if any(each.isspace() or each in "?#;,\\\"'<>" for each in value):
        raise ValueError("should be a path such as /atelier")
    return value if not value or value.startswith(("/", "http://", "https://")) else f"/{value}"


def _networks(value: str) -> str:
    """Addresses and networks with commas between them, or * for all."""
    for each in filter(None, (part.strip() for part in value.split(","))):
        try:
            each == "*" or ip_network(each)
        except ValueError:
            raise ValueError("should be addresses or networks such as 10.0.0.0/8, or *") from None
    return value


def _hosts(value: str) -> str:
    """Names of hosts without ports, with commas between them, or * for all."""
    names = [each.strip().lower() for each in value.split(",") if each.strip()]
    if not all(each == "*" or re.fullmatch(r"[a-z0-9_.\-]+", each) for each in names):
        raise ValueError("should be names such as studio.example without scheme and port, or *")
    return ",".join(names)


def _database(value: SecretStr) -> SecretStr:
    """The address of a PostgreSQL database, or nothing."""
    url = value.get_secret_value().strip()
    if not re.fullmatch(r"(postgres(ql)?(\+psycopg)?://\S*)?", url):
        raise ValueError
    return SecretStr(url)


def _devices(value: str) -> str:
    """Names of devices with commas between them and nothing else."""
    names = [each.strip() for each in value.split(",")] if value.strip() else []
    if not all(re.fullmatch(r"cpu|mps|(cuda|xpu):\d+", each) for each in names):
        raise ValueError("should be devices such as cuda:0,cuda:1")
    return ",".join(names)


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
    database_url: Annotated[SecretStr, AfterValidator(_database)] = Field(
        SecretStr(""),
        description="A PostgreSQL database, as in postgresql://user:password@host/atelier; empty "
        "for SQLite in the data folder.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on; 0 for any free one.")
    root_path: Annotated[str, AfterValidator(_prefix)] = Field(
        "", description="Path prefix when served behind a proxy."
    )
    accounts: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether people log in; auto asks it of them where others reach the address.",
    )
    password: SecretStr = Field(
        SecretStr(""), description="Password of the administrator called admin; asks for accounts."
    )
    password_file: str = Field("", description="File whose first line is that password.")
    allowed_hosts: Annotated[str, AfterValidator(_hosts)] = Field(
        "", description="Names under which the studio is reached, with commas between; * for all."
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "127.0.0.1",
        description="Addresses of proxies that may say who asks and whether by TLS; * for all.",
    )
    requests_per_minute: int = Field(
        6000,
        ge=0,
        le=10**6,
        description="Changes and downloads that one person may ask for in a minute, or one address "
        "that is not let in; 0 for any. Where nobody logs in there is no limit.",
    )
    metrics: Literal["administrators", "accounts"] = Field(
        "administrators",
        description="Who may read /metrics: administrators, or all who have an account.",
    )
    mcp: bool = Field(False, description="Whether MCP clients are served; needs the package mcp.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, mps, xpu or xpu:N.",
    )
    devices: Annotated[str, AfterValidator(_devices)] = Field(
        "", description="Several devices with commas between them, such as cuda:0,cuda:1."
    )
    workers: Literal["process", "inside"] = Field(
        "process",
        description="Whether a served device works in a process of its own or inside the server.",
    )
    cluster: str = Field(
        "",
        description="Cluster of Ray whose nodes make the pictures: auto, or its head's host:port.",
    )
    hang_seconds: float = Field(
        900,
        ge=0,
        le=86_400,
        description="Time without a sign of life until a device's process is ended; 0 never.",
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
    quota_waiting_jobs: int = Field(
        0, ge=0, le=100_000, description="Jobs of one person that may wait at a time; 0 for any."
    )
    quota_images_a_day: int = Field(
        0, ge=0, le=10**9, description="Pictures that one person may make in 24 hours; 0 for any."
    )
    quota_training_hours: float = Field(
        0, ge=0, le=720, description="Hours that one person may train in 30 days; 0 for any."
    )
    quota_disk: Size = Field(
        0, description="What one person may keep on the disk, such as 20GB; 0 for any."
    )
    max_upload: Size = Field(50 * 10**6, description="Largest file that can be dropped.")
    trash_days: int = Field(
        30, ge=0, le=3650, description="Days until pictures in the trash are deleted; 0 keeps them."
    )
    audit_days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="Days until what is noted of what people did is forgotten; 0 keeps it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is written to the log."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How lines of the log are written; json is one object a line."
    )
    stop_seconds: float = Field(
        20, ge=5, le=3600, description="Longest that the server takes to end once it is told to."
    )
    idle_stop_minutes: float = Field(
        0,
        ge=0,
        le=100_000,
        description="Minutes without job and page until the server ends itself; 0 never.",
    )
    idle_command: str = Field(
        "", description="Command that is run once the server has ended itself for being idle."
    )

    # Where each value comes from, for those that do not come from the defaults.
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def source(self, name: str) -> str:
        """Where a setting comes from: command, environment, file or default."""
        return self._sources.get(name, "default")

    def shown(self, name: str) -> str:
        """A setting in words that anybody may see: of a secret only whether it is `set`."""
        value = getattr(self, name)
        if name in SECRETS:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            return "set" if plain else "not set"
        if name in _SIZES:
            return _size(value)
        return f"{value:g}" if isinstance(value, float) else str(value)

    @property
    def path_prefix(self) -> str:
        """What stands before the paths that clients see: "" or as in "/atelier"."""
        return urlsplit(self.root_path).path.rstrip("/")

    @property
    def each_device(self) -> tuple[str, ...]:
        """The devices that work is done on, at least one."""
        return tuple(self.devices.split(",")) if self.devices else (self.device,)

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


SECRETS = frozenset({"password", "database_url", "idle_command"})
"""What is a secret or may have one in it, as an address or a command may."""
_SIZES = frozenset({"memory_budget", "main_memory_budget", "quota_disk", "max_upload"})


def _size(number: int) -> str:
    """Bytes as they may be written, in the largest unit that tells them exactly."""
    units = [(of, unit.replace("I", "i")) for unit, of in _UNITS.items() if unit]
    for of, unit in sorted(units, reverse=True):
        if number and number % of == 0:
            return f"{number // of}{unit}"
    return str(number)


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
        settings = Settings(**given)
        settings._sources.update({name: _source(name, given) for name in settings.model_fields_set})
        return settings
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


def _source(name: str, given: Collection[str]) -> str:
    variables = {variable.upper() for variable in os.environ}
    if name in given:
        return "command"
    return "environment" if f"ATELIER_{name.upper()}" in variables else "file"


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
    if key == "password":  # whose value no log is to have
        return "Setting password (ATELIER_PASSWORD) must be a text."
    if key == "database_url":  # which may hold one
        return (
            "Setting database_url (ATELIER_DATABASE_URL) must be empty or an address such as "
            "postgresql://user:password@host:5432/atelier."
        )
    known = Settings.model_fields
    if key not in known:
        return f"Setting {key!r} is not known; known are {', '.join(known)}."
    rule = first["msg"].removeprefix("Value error, ")
    rule = rule.replace("Input should", "must").replace("String should", "must")
    rule = rule.replace("should be", "must be").split("pattern")[0]
    if rule.startswith("must match"):
        rule = "must be one of: " + (known[key].description or "").rstrip(".")
    return f"Setting {key} (ATELIER_{key.upper()}) is {first['input']!r}, but it {rule}."
