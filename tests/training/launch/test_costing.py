"""The job that measures what a run will cost, with the real program and a tiny model."""

import pytest

from studio.errors import RequestError
from studio.events import Finished, Measured, Progress
from studio.requests import validated
from studio.services import build_services
from studio.settings import Settings
from studio.training_requests import CostRequest, TrainRequest

FIELDS = {
    "name": "dog",
    "pictures": "drawings",
    "prompt": "a photo of sks dog",
    "resolution": 64,
    "sample_every": 0,
}


@pytest.fixture
def studio(training_data, tiny):
    tiny("sd")
    services = build_services(Settings(data_dir=training_data, device="cpu"))
    services.trainer.start()
    yield services
    services.stop()


def test_a_measurement_is_a_job_whose_figures_are_found_again(studio):
    fields = {**FIELDS, "model": "tiny-sd"}
    asked = validated(TrainRequest, fields)
    assert studio.costing.cost(asked) is None
    job = studio.queue.submit(validated(CostRequest, fields))
    events = [event for event in studio.queue.follow(job) if event is not None]
    assert isinstance(events[-1], Finished), events[-1]
    assert any(isinstance(event, Progress) for event in events)
    told = [event.values for event in events if isinstance(event, Measured)]
    assert len(told) == 1
    cost = studio.costing.cost(asked)
    assert cost is not None
    assert told[0]["seconds_a_step"] == cost.seconds_a_step > 0
    # 100 steps a picture.
    assert cost.seconds >= 500 * cost.seconds_a_step
    assert not studio.runs.entries()
    assert not studio.engine.broker.leases()


def test_what_cannot_be_trained_is_not_measured(studio):
    with pytest.raises(RequestError, match="accelerate"):
        studio.queue.submit(
            validated(CostRequest, {**FIELDS, "model": "tiny-sd", "accelerate": "none-such"})
        )
