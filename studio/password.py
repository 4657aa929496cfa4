"""The password that the settings give, and when the studio is not to be served without accounts."""

from ipaddress import ip_address
from pathlib import Path

from studio.errors import SettingsError
from studio.settings import Settings

LEAST_LENGTH = 8
_LONGEST = 4096


def read_password(settings: Settings) -> str:
    """The password from the setting or its file, "" when there is none.

    Raises SettingsError, which never tells it, when it is too short or its file cannot be read.
    """
    password = settings.password.get_secret_value()
    source = "Setting password (ATELIER_PASSWORD)"
    if settings.password_file:
        if password:
            raise SettingsError(
                "Settings password (ATELIER_PASSWORD) and password_file (ATELIER_PASSWORD_FILE) "
                "are both given; keep one of them."
            )
        password = _first_line(Path(settings.password_file).expanduser())
        source = f"The password in {settings.password_file} (ATELIER_PASSWORD_FILE)"
        if not password:
            raise SettingsError(f"{source} is empty; write one into the file's first line.")
    if password and len(password) < LEAST_LENGTH:
        raise SettingsError(f"{source} must have at least {LEAST_LENGTH} characters.")
    if len(password) > _LONGEST:
        raise SettingsError(f"{source} must have at most {_LONGEST} characters.")
    return password


def has_password(settings: Settings) -> bool:
    """Whether the settings give one."""
    return bool(settings.password.get_secret_value() or settings.password_file)


def has_accounts(settings: Settings) -> bool:
    """Whether people log in, as far as the settings tell; see `settled` for what is listened on."""
    if settings.accounts == "auto":
        return has_password(settings) or not is_own(settings.host)
    return settings.accounts == "on"


def settled(settings: Settings, address: str) -> Settings:
    """The settings with `accounts` on or off, by the IP address that is really listened on.

    No name can be trusted to be one's own. Raises SettingsError where others can reach the address
    and accounts are off, and where they are off although a password is set.
    """
    if settings.accounts == "off":
        if not is_loopback(address):
            raise SettingsError(
                f"Others can reach this machine at {settings.host}, so people have to log in; set "
                "accounts (ATELIER_ACCOUNTS) to auto, or keep --host at 127.0.0.1."
            )
        if has_password(settings):
            raise SettingsError(
                "Setting accounts (ATELIER_ACCOUNTS) is 'off', but there is a password "
                "(ATELIER_PASSWORD or ATELIER_PASSWORD_FILE); keep one of them."
            )
    read_password(settings)
    on = has_accounts(settings) or not is_loopback(address)
    return settings.model_copy(update={"accounts": "on" if on else "off"})


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an IP address."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def is_own(host: str) -> bool:
    """Whether a host's name is one that only this machine reaches; in doubt it is not."""
    try:
        return host == "localhost" or is_loopback(host)
    except ValueError:
        return False


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST + 2).partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(
            f"Setting password_file (ATELIER_PASSWORD_FILE) is {str(path)!r}, but that cannot be "
            f"read ({reason}); correct the path."
        ) from None
