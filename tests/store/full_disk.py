"""Run by test_disk_full.py inside a mount namespace, where the folder it is given is a tiny disk.

Three jobs go through real services with a work function that saves noise: the first fills the
disk, the second runs while it is full, the third after somebody has made room. What happened is
printed as JSON.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from sample_pictures import picture

from studio.errors import AtelierError, StorageError
from studio.jobs.queue import JobQueue, Kind
from studio.jobs.worker import Runner
from studio.requests import GenerationRequest
from studio.services import build_services
from studio.settings import Settings
from studio.store.jobs import JobTable


def main(folder: Path, wanted: int) -> None:
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))

    def work(request, context):
        for _ in range(request.batch_count):
            context.save(replace(picture(data=os.urandom(100_000)), prompt=request.prompt))

    kinds = {"generate": Kind(GenerationRequest, lambda request: request, work)}
    queue = JobQueue(JobTable(services.database), services.outputs, kinds, 10)
    runner = Runner(queue, services.engine.models, services.outputs)
    jobs = JobTable(services.database)
    story: dict[str, object] = {"events": []}
    ids: list[str] = []

    def run(count: int) -> None:
        job_id = queue.submit(GenerationRequest(batch_count=count))
        ids.append(job_id)
        runner.settle()
        runner.run(jobs.claim_next("runner"))
        story["events"].append([event.type for event in queue.follow(job_id)])

    run(wanted)
    try:
        run(wanted)
    except StorageError as error:  # it may not even be taken when not a byte is left
        story["refused"] = str(error)
    files = sorted((folder / "outputs").rglob("*.*"))
    story["files"] = len(files)
    story["total"] = services.outputs.page(0, 1).total
    story["whole"] = all(file.stat().st_size == 100_000 for file in files)
    story["left over"] = [str(path) for path in folder.rglob("*.part")]
    for row in services.outputs.page(0, 5).rows:
        (folder / row.file).unlink()
    for waiting in jobs.queued():  # taken in, but without room to note that it was begun
        queue.cancel(waiting)
    run(2)
    # At the end: where not even that had room, how a job ended is recorded when there is some.
    rows = [(queue.get(job_id), len(queue.outputs(job_id))) for job_id in ids]
    story["rows"] = [[row.status, row.reason, count] for row, count in rows]
    story["running"] = len(jobs.running())
    try:
        services.stop()
    except AtelierError as error:
        story["stop"] = str(error)
    print(json.dumps(story))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
