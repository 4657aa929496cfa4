"""Two nodes on this machine make the pictures; processes and nodes die, and a node comes."""

import time
from shutil import copytree

import psutil
import pytest
import torch
from PIL import Image

from studio.api import readiness
from studio.context import ModelSpec
from studio.events import Failed, Finished, Progress
from studio.models.devices import Device
from studio.requests import EditRequest, GenerationRequest

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def lab(open_lab):
    made = open_lab(hang_seconds=60)
    made.add(), made.add()
    made.up(2)
    return made


def alone(lab, request) -> list[bytes]:
    """What the pictures look like where they are made in the server itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as Ray has it in workers, or sums are rounded in another order
    try:
        return lab.pixels(lab.services.run_now(request))
    finally:
        torch.set_num_threads(before)


def request(**fields: object) -> GenerationRequest:
    small = {"prompt": "a red apple", "steps": 3, "width": 64, "height": 64, "seed": 5}
    return GenerationRequest(**{**small, **fields})


def test_jobs_spread_over_the_nodes(lab):
    jobs = [lab.submit(seed=seed, batch_count=2) for seed in range(4)]
    ends = [lab.end(job)[1] for job in jobs]
    assert all(isinstance(end, Finished) for end in ends), ends
    assert [len(engine.models.held()) for engine in lab.services.crew.engines] == [1, 1]
    assert lab.services.engine.models.held() == [], "the server's own device does other work"
    assert lab.pixels(jobs[0]) == alone(lab, request(seed=0, batch_count=2))
    assert lab.pixels(jobs[3]) == alone(lab, request(seed=3, batch_count=2))


def test_a_device_is_known_with_its_node(lab):
    device = lab.services.crew.engines[0].known_device
    assert isinstance(device, Device)
    assert device.sort == "cpu"
    assert " on " in device.name
    assert " on " in device.label


def test_a_worker_that_is_killed_loses_nothing(lab):
    job = lab.submit(batch_count=2, steps=12, seed=11)
    events = lab.follow(job)
    next(event for event in events if isinstance(event, Progress))
    psutil.Process(lab.busy().process).kill()
    *told, final = events
    assert isinstance(final, Finished), final
    assert any("The job is begun again." in getattr(event, "text", "") for event in told)
    assert lab.services.queue.get(job).losses == 1
    assert lab.pixels(job) == alone(lab, request(batch_count=2, steps=12, seed=11))
    lab.up(2)


def test_a_node_that_is_killed_loses_nothing(lab):
    job = lab.submit(batch_count=3, steps=12, seed=12)
    events = lab.follow(job)
    next(event for event in events if isinstance(event, Progress))
    lab.kill_node(lab.busy().node)
    final = [*events][-1]
    assert isinstance(final, Finished), final
    assert lab.pixels(job) == alone(lab, request(batch_count=3, steps=12, seed=12))
    lab.up(1)
    assert len(lab.services.workers.painters) == 2, "the server's own and one"


def test_a_node_that_comes_takes_jobs_and_is_brought_what_it_lacks(lab):
    lab.add(own_folder=True)
    lab.up(2)
    old, new = (hand.places[-1].node for hand in lab.services.crew.roster.hands)
    lab.kill_node(old)
    lab.up(1)
    drawn = Image.radial_gradient("L").convert("RGB").resize((64, 64))
    source = lab.services.inputs.add_image(drawn).hash
    edit = EditRequest(prompt="a red apple", source=source, steps=4, strength=0.5, seed=3)
    job = lab.ask(edit)
    assert isinstance(lab.end(job)[1], Finished)
    assert lab.pixels(job) == alone(lab, edit)
    own = lab.folder / "node-1" / "inputs"
    assert [path.stem for path in own.glob("*/*.png")] == [source]
    lab.here = new


def test_a_model_that_the_node_lacks_is_told_of_with_its_place(lab, embedded_id):
    data = lab.services.settings.data_dir
    catalogue = lab.services.catalogue
    copytree(catalogue.get(embedded_id).path, data / "models" / "only-here")
    final = lab.end(lab.submit(model="only-here"))[1]
    assert isinstance(final, Failed)
    assert final.reason.startswith("Model 'only-here' is not installed; there are: ")
    assert f"({lab.folder / 'node-1'})" in final.reason


def test_a_job_that_waits_for_a_node_is_done_when_one_comes(lab):
    lab.kill_node(lab.here)
    lab.up(0)
    job = lab.submit(seed=21)
    time.sleep(0.5)
    assert lab.services.queue.line().waiting == 1
    assert readiness.obstacles(lab.services)[-1] == "no node of the cluster can work"
    lab.add()
    assert isinstance(lab.end(job)[1], Finished)
    assert "no node of the cluster can work" not in readiness.obstacles(lab.services)


def test_a_job_goes_to_the_node_that_holds_its_model(lab, embedded_id):
    """Two models, two nodes: once each holds one, nothing is loaded any more."""
    lab.add()
    lab.up(2)
    lab.services.in_memory.drop_idle(0)
    first, second = lab.services.crew.engines
    first.models.load(ModelSpec("diffusion", embedded_id))
    second.models.load(ModelSpec("diffusion", "only-here"))
    for model in ("only-here", embedded_id, embedded_id, "only-here"):
        assert isinstance(lab.end(lab.submit(model=model))[1], Finished)
    assert [held.id for held in first.models.held()] == [embedded_id]
    assert [held.id for held in second.models.held()] == ["only-here"]
