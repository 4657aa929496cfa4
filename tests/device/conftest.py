"""Services whose devices are processes, and what jobs tell there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from at_work import AtWork

from studio.services import Services, build_services
from studio.settings import Settings

FAULTY = (str(Path(__file__).with_name("faulty_device.py")),)


@dataclass(frozen=True)
class Apart(AtWork):
    """Services on a folder; faults of its device's program are written by `plan`."""

    services: Services
    wait = 90.0

    def plan(self, *faults: str) -> None:
        """Each: the sort, the item and its step."""
        (self.services.settings.data_dir / "faults").write_text("\n".join(faults))

    def processes(self) -> list[psutil.Process]:
        """Of the devices."""
        mine = psutil.Process().children()
        return [each for each in mine if FAULTY[0] in each.cmdline() or _is_device(each)]


def _is_device(process: psutil.Process) -> bool:
    return process.cmdline()[-2:] == ["-m", "studio.device"]


@pytest.fixture(scope="module")
def open_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Apart]]:
    """Opens services that are at work; none outlives the tests of its file."""
    opened: list[Services] = []

    def open_one(folder: Path | None = None, **more: object) -> Apart:
        folder = folder or tmp_path_factory.mktemp("apart")
        fields = {"data_dir": folder, "device": "cpu", "dtype": "float32", **more}
        services = build_services(Settings(**fields), apart=True, device_program=FAULTY)
        opened.append(services)
        services.start()
        return Apart(services)

    yield open_one
    for services in opened:
        services.stop()


@pytest.fixture(scope="module")
def apart(open_apart: Callable[..., Apart]) -> Apart:
    """The services that the tests of a file share; each leaves the device free."""
    return open_apart(hang_seconds=20)
