"""A process whose address space ends where the system says: real allocations that fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of a process are set by Unix's resource module")

JOB = """
import json, re, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from recorder import Studio
from studio.context import Rung
from studio.diffusion.memory.need import Shape, needs
from studio.events import Notice
from studio.models.devices import Device
from studio.services import build_services
from studio.settings import Settings

studio = Studio(build_services(Settings(data_dir=Path({data!r}), device="cpu", dtype="float32")))
small = dict(prompt="a dog", steps=2, width=128, height=128)
large = dict(prompt="a dog", steps=2, width=512, height=512, batch_size=4)
before = studio.pixels(**small)
entry = studio.services.catalogue.get("")
ladder = list(needs(entry, Shape((512, 512), 4), Device("cpu", "CPU", "float32"), free=0))
whole = ladder[0].work
single = next(each.work for each in ladder if Rung.ONE_BY_ONE in each.rungs)
used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
limit = used + (whole + single) // 2
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
made = studio.make(**large)
after = studio.pixels(**small)
print(json.dumps({{
    "pictures": len(made.images),
    "told": [event.text for event in made.events if isinstance(event, Notice)],
    "same": bool((after == before).all()),
}}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")
def test_an_allocation_that_really_fails_is_survived(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = JOB.format(tests=tests, data=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["pictures"] == 4
    assert facts["same"], "the next job runs clean"
    assert facts["told"]
    assert facts["told"][0].startswith("The device's memory was full: the job goes on with")
