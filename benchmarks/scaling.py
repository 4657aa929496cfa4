"""How many people and cards one server can do with: measured where it can be, simulated beyond.

SCALING_JOBS: jobs of the real run, 120 by default, by eight people on two workers of a Ray cluster
on this machine; the simulation is given what that run measured, and must find its waits and its
rate. Then it is given 1,000 people and 64 cards. SCALING_SECONDS: what a job takes on such a card,
5 by default.
"""

import os
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks.figure import Figure
from benchmarks.queueing import Lab, Outcome, simulated
from benchmarks.served import Served
from studio.events import Finished
from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings
from studio.store.database import Database
from studio.store.jobs import JobTable

_JOBS = int(os.environ.get("SCALING_JOBS", "120"))
_SECONDS = float(os.environ.get("SCALING_SECONDS", "5"))
_PEOPLE, _CARDS, _THINK = 8, 2, 3.0
_STATUS_CALLS = 400
_CLAIMS = 100
_SPREAD = 0.5
"""Of what a job takes, as the deviation of its logarithm."""
_LARGE = Lab(1000, 64, 60.0, lambda draw: 0.0, load=10.0, models=20, held=2)
_HOUR = 3600.0


def measure() -> list[Figure]:
    """The real run beside its simulation, what the server does for each, and the large lab."""
    real = _real()
    lab = Lab(_PEOPLE, _CARDS, _THINK, lambda draw: draw.choice(real.services), server=real.server)
    twin = simulated(lab, 20 * _HOUR)
    figures = [
        Figure("a job on a worker, mean", statistics.fmean(real.services), "s"),
        Figure("wait of a real job, mean", real.wait, "s"),
        Figure("... simulated", twin.mean, "s"),
        Figure("... the one by the other, the larger above", _apart(real.wait, twin.mean), "", 1.5),
        Figure("real jobs a second", real.rate, "1/s"),
        Figure("... simulated", twin.rate, "1/s"),
        Figure("... the one by the other", _apart(real.rate, twin.rate), "", 1.15),
        Figure("work of the server for a job", 1000 * real.server, "ms of a core"),
    ]
    figures += _server()
    return figures + _large(real.server)


@dataclass(frozen=True)
class _Run:
    services: list[float]
    wait: float
    rate: float
    server: float


def _real() -> _Run:
    """Eight people, who think and ask, and two workers."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(_CARDS):
            cluster.add_node(num_cpus=1, resources={"atelier": 1}, object_store_memory=80 * 2**20)
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(data_dir=Path(folder), device="cpu", dtype="float32")
            services = build_services(settings, cluster=cluster.address)
            services.start()
            try:
                return _asked(services)
            finally:
                services.stop()
    finally:
        cluster.shutdown()


def _asked(services: Services) -> _Run:
    _wait_until_up(services)
    for _ in range(_CARDS):  # so that each has the model
        _one(services, 0)
    with ThreadPoolExecutor(_PEOPLE) as people:
        list(people.map(lambda seed: _one(services, seed), range(_PEOPLE)))
        left, lock, ids = [_JOBS], threading.Lock(), []

        def person(number: int) -> None:
            draw = random.Random(number)
            while True:
                time.sleep(draw.expovariate(1 / _THINK))
                with lock:
                    if left[0] == 0:
                        return
                    left[0] -= 1
                ids.append(_one(services, draw.randrange(2**31)))

        me, start = psutil.Process(), time.perf_counter()
        before = sum(me.cpu_times()[:2])
        list(people.map(person, range(_PEOPLE)))
        seconds = time.perf_counter() - start
        worked = sum(me.cpu_times()[:2]) - before
    rows = [services.queue.get(each) for each in ids]
    waits = [(row.started_at or 0) - row.created_at for row in rows]
    took = [(row.ended_at or 0) - (row.started_at or 0) for row in rows]
    return _Run(took, statistics.fmean(waits), len(rows) / seconds, worked / len(rows))


def _one(services: Services, seed: int) -> str:
    """One job to its end."""
    asked = GenerationRequest(prompt="a red apple", steps=10, width=64, height=64, seed=seed)
    job_id = services.queue.submit(asked)
    *_, final = services.queue.follow(job_id)
    if not isinstance(final, Finished):
        raise RuntimeError(f"A job has ended as {final}")
    return job_id


def _wait_until_up(services: Services) -> None:
    until = time.monotonic() + 300
    while [engine.is_up for engine in services.engines[1:]] != [True] * _CARDS:
        if time.monotonic() > until:
            raise TimeoutError("The workers of the cluster do not come up.")
        time.sleep(0.1)
    services.engine.warm_up()


def _server() -> list[Figure]:
    """What a server does for pages that are open, and for a line that is long."""
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder) / "data")
        served.start()
        try:
            while not served.get("/status")["ready"]:
                time.sleep(0.5)
            process = psutil.Process(served.pid)
            before = sum(process.cpu_times()[:2])
            for _ in range(_STATUS_CALLS):
                served.get("/status")
            status = (sum(process.cpu_times()[:2]) - before) / _STATUS_CALLS
        finally:
            served.end()
        jobs = JobTable(Database(Path(folder)))
        request = GenerationRequest(prompt="a red apple").model_dump_json()
        for _ in range(2 * _CLAIMS):
            jobs.add("generate", request)
        start = time.perf_counter()
        for _ in range(_CLAIMS):
            jobs.claim_next("benchmark", ("generate",))
        claim = (time.perf_counter() - start) / _CLAIMS
    return [
        Figure("an open page's look at /status", 1000 * status, "ms of a core"),
        Figure("... looks a second that fill one core", 1 / status, "1/s"),
        Figure("a card takes a job, at least 100 of which wait", 1000 * claim, "ms"),
    ]


def _large(server: float) -> list[Figure]:
    """1,000 people, of whom each asks a minute after the last picture, and 64 cards."""
    shift = _SPREAD**2 / 2  # so that the mean is what is asked for

    def service(draw: random.Random) -> float:
        return _SECONDS * draw.lognormvariate(-shift, _SPREAD)

    lab = replace(_LARGE, service=service, server=server)
    cases = {
        "1,000 people, 64 cards": lab,
        "500 people": replace(lab, people=500),
        "1,000 people, 128 cards": replace(lab, cards=128),
        "1,000 people, one model": replace(lab, models=1),
        "500 people, 25 ask for 40 at once": replace(lab, people=500, eager=25, many=40),
        "... served as they came": replace(lab, people=500, eager=25, many=40, fair=False),
    }
    return [figure for name, each in cases.items() for figure in _told(name, each)]


def _told(name: str, lab: Lab) -> list[Figure]:
    outcome: Outcome = simulated(lab, 2 * _HOUR)
    cards = 100 * outcome.busy / outcome.seconds / lab.cards
    core = 100 * outcome.served / outcome.seconds
    note = (
        f"95% {outcome.late:.1f} s; {outcome.rate:.1f} jobs/s; cards {cards:.0f}% and one core of "
        f"the server {core:.0f}% at work; {100 * outcome.loads / outcome.jobs:.0f}% load a model"
    )
    return [Figure(f"wait, {name}", outcome.mean, "s", note=note)]


def _apart(one: float, other: float) -> float:
    return max(one, other) / max(min(one, other), 1e-9)
