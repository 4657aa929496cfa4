"""The settings that hold, and where each comes from; never a secret."""

from fastapi import APIRouter
from pydantic import BaseModel

from studio.services import Services
from studio.settings import SECRETS, Settings, settings_file


class SettingInfo(BaseModel):
    """A setting.

    value: how it is now, of a secret only `set` or `not set`. default: what it is by itself.
    source: `default`, `file`, `environment` or `command`. variable: of the environment.
    """

    name: str
    variable: str
    value: str
    default: str
    source: str
    secret: bool
    meaning: str


class SettingList(BaseModel):
    """All settings; file: the settings file, which need not be there."""

    settings: list[SettingInfo]
    file: str


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""

    @router.get("/settings", operation_id="list_settings", summary="See the settings")
    def settings() -> SettingList:
        """What holds since the start; a change holds from the next start on."""
        return SettingList(
            settings=[_told(services.settings, name) for name in Settings.model_fields],
            file=str(settings_file().absolute()),
        )


def _told(settings: Settings, name: str) -> SettingInfo:
    return SettingInfo(
        name=name,
        variable=f"ATELIER_{name.upper()}",
        value=settings.shown(name),
        default=Settings.model_construct().shown(name),
        source=settings.source(name),
        secret=name in SECRETS,
        meaning=Settings.model_fields[name].description or "",
    )
