"""A server in a process of its own where people have accounts, one of each role and an owner."""

from pathlib import Path

from browser.live_server import LiveServer

from studio.people import Role
from studio.services import build_services
from studio.settings import Settings

ROLES = {
    "ada": Role.ADMINISTRATOR,
    "owner": Role.MEMBER,
    "member": Role.MEMBER,
    "viewer": Role.VIEWER,
}
_PASSWORD = "three words and more"


class PeopleServer(LiveServer):
    """A live server with accounts, not started yet; `known` is what a name sends to be let in."""

    def __init__(self, folder: Path, **more: str):
        super().__init__(folder, ATELIER_ACCOUNTS="on", ATELIER_REQUESTS_PER_MINUTE="0", **more)
        services = build_services(Settings(data_dir=self.data, device="cpu", accounts="on"))
        self._tokens = {}
        for name, role in ROLES.items():
            person = services.accounts.add(name, role, _PASSWORD)
            self._tokens[name] = services.accounts.make_token(person, "a test")
        services.stop()

    def known(self, name: str) -> dict[str, str]:
        """The headers of somebody; none of whom nobody knows."""
        return {"Authorization": f"Bearer {self._tokens[name]}"} if name in self._tokens else {}
