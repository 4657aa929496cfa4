"""Services at work: small jobs for them, what these tell, and the pixels that they make."""

from collections.abc import Iterator

from PIL import Image

from studio.events import FINAL, Event
from studio.requests import GenerationRequest, Request
from studio.services import Services


class AtWork:
    """For classes with services; wait: seconds without news after which a job hangs."""

    services: Services
    wait = 120.0

    def submit(self, **fields: object) -> str:
        """A job of small pictures."""
        small = {"prompt": "a red apple", "steps": 3, "width": 64, "height": 64, "seed": 5}
        return self.services.queue.submit(GenerationRequest(**{**small, **fields}))

    def ask(self, request: Request) -> str:
        """A job."""
        return self.services.queue.submit(request)

    def follow(self, job_id: str) -> Iterator[Event]:
        """What the job tells, to its end."""
        for event in self.services.queue.follow(job_id, heartbeat=self.wait):
            assert event is not None, f"job {job_id} hangs"
            yield event

    def end(self, job_id: str) -> tuple[list[Event], Event]:
        """What the job told on its way, and how it ended."""
        *told, final = self.follow(job_id)
        assert isinstance(final, FINAL)
        return told, final

    def pixels(self, job_id: str) -> list[bytes]:
        """Of a job's pictures."""
        found = []
        for output in self.services.queue.outputs(job_id):
            with Image.open(self.services.outputs.path(output)) as image:
                found.append(image.convert("RGB").tobytes())
        return found
