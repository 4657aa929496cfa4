"""What is measured of jobs."""

import pytest
from prometheus_client import CollectorRegistry

from studio.events import Failed, Finished, Progress, Stopped
from studio.jobs import metrics
from studio.jobs.metrics import JobMetrics
from studio.requests import GenerationRequest
from studio.store.jobs import JobRow


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(metrics.time, "monotonic", made.monotonic)
    return made


def row(job_id: str) -> JobRow:
    started = None if job_id == "never begun" else 15.0
    return JobRow(1, job_id, "generate", "{}", "finished", "", "", 10.0, started, 45.0)  # type: ignore[arg-type]


def of(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"atelier_{name}", labels)


def test_jobs_are_counted_by_kind_and_end(registry):
    kept = JobMetrics(registry, row)
    kept.told("a", Finished())
    kept.told("b", Finished())
    kept.told("c", Failed(reason="It broke."))
    kept.told("d", Stopped(status="interrupted"))
    kept.told("never begun", Stopped(status="cancelled"))
    ends = ("finished", "failed", "interrupted", "cancelled")
    counts = [of(registry, "jobs_total", kind="generate", end=end) for end in ends]
    assert counts == [2, 1, 1, 1]
    assert of(registry, "job_wait_seconds_count", kind="generate") == 4, "not of one never begun"
    assert of(registry, "job_wait_seconds_sum", kind="generate") == 4 * 5
    assert of(registry, "job_seconds_sum", kind="generate") == 4 * 30


def test_steps_are_measured_within_an_item(registry, clock):
    kept = JobMetrics(registry, row)
    for item, step, at in ((1, 1, 0), (1, 2, 2), (1, 4, 6), (2, 1, 60), (2, 2, 63), (2, 2, 70)):
        clock.now = 100.0 + at
        kept.told("a", Progress(step=step, steps=4, item=item, items=2))
    assert of(registry, "step_seconds_count", kind="generate", unit="step") == 3
    assert of(registry, "step_seconds_sum", kind="generate", unit="step") == 2 + 2 + 3


def test_nothing_is_kept_of_jobs_that_are_over(registry):
    kept = JobMetrics(registry, row)
    for number in range(50):
        kept.told(str(number), Progress(step=1, steps=4, item=1, items=1))
        kept.told(str(number), Finished())
    assert kept._at == {}


def test_a_fault_here_is_no_matter_to_the_job(registry, caplog):
    def gone(job_id: str) -> JobRow:
        raise OSError("the disk is gone")

    JobMetrics(registry, gone).told("a", Finished())
    assert "could not be measured" in caplog.text


def test_a_real_job_is_measured(services):
    services.run_now(GenerationRequest(prompt="a red apple", steps=4, seed=1))
    cancelled = services.queue.submit(GenerationRequest(prompt="a red apple"))
    services.queue.cancel(cancelled)
    registry = services.metrics
    assert of(registry, "jobs_total", kind="generate", end="finished") == 1
    assert of(registry, "jobs_total", kind="generate", end="cancelled") == 1
    assert of(registry, "step_seconds_count", kind="generate", unit="step") >= 2
    assert of(registry, "job_seconds_sum", kind="generate") > 0
