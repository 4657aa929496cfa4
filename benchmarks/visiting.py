"""A page that somebody has open, as its scripts use the server, without the browser around it."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from gradio_client.utils import apply_diff

_LOOKS = 2.0
"""Seconds between two looks of the page's header at the server."""
_CACHED = 60


@dataclass
class Seen:
    """What all visitors and clients have met: seconds by action, pictures by person, faults.

    made: when, and for whom by number. foreign: what was shown to the wrong person.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    made: list[tuple[float, int]] = field(default_factory=list)
    asked: int = 0
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    is_over: Callable[[], bool] = lambda: False
    is_warm: Callable[[], bool] = lambda: True

    def timed(self, action: str, since: float) -> None:
        """Note how long an action of a page took, once all is warm."""
        if self.is_warm():
            self.seconds.setdefault(action, []).append(time.perf_counter() - since)

    def check(self, person: int, number: int, *texts: str) -> None:
        """Note what of a picture's facts does not tell of the person and the number asked for."""
        for text in texts:
            if words(person, number) not in text:
                self.foreign.append(f"{words(person, number)!r}: {text[:200]!r}")


def words(person: int, number: int) -> str:
    """The prompt of a person's picture, which no other has."""
    return f"a red apple, person {person} picture {number} of theirs"


def seed_of(person: int, number: int) -> int:
    """The seed of the same."""
    return person * 1_000_000 + number


class Dependencies:
    """What the page can ask its server for, found by the control and what happens to it."""

    def __init__(self, config: dict[str, Any]):
        self._config = config
        self._components = {each["id"]: each for each in config["components"]}

    def of(self, control: str, event: str, *, by: str = "elem_id") -> dict[str, Any]:
        """The first one of a control's event that the server answers."""
        for each in self._config["dependencies"]:
            for target, name in each["targets"]:
                props = self._components.get(target, {}).get("props", {})
                if name == event and props.get(by) == control and each["backend_fn"]:
                    found: dict[str, Any] = each
                    return found
        raise LookupError(f"The page has no {control!r} with {event!r}.")

    def at_the_start(self) -> list[dict[str, Any]]:
        """Those that every page asks for as it opens."""
        return [
            each
            for each in self._config["dependencies"]
            if each["backend_fn"] and any(event == "load" for _, event in each["targets"])
        ]

    def after(self, dependency: dict[str, Any]) -> dict[str, Any]:
        """The one with an answer of the server that follows when another was done."""
        found: dict[str, Any] = next(
            each
            for each in self._config["dependencies"]
            if each["trigger_after"] == dependency["id"] and each["backend_fn"]
        )
        return found

    def values(self, dependency: dict[str, Any], **changed: Any) -> list[Any]:
        """What a fresh page sends with it; changed: values by the control's element."""
        sent = []
        for each in dependency["inputs"]:
            props = self._components[each]["props"]
            name = str(props.get("elem_id") or "").removeprefix("at-").replace("-", "_")
            sent.append(changed.get(name, props.get("value")))
        return sent


class Visitor:
    """One open page of a person (by number); client: with their cookie."""

    def __init__(self, client: httpx.AsyncClient, can: Dependencies, person: int, seen: Seen):
        self._client = client
        self._can = can
        self._person = person
        self._seen = seen
        self._session = uuid.uuid4().hex[:11]
        self._random = random.Random(self._session)
        self._known: set[int] = set()

    async def stay(self, *, makes: bool, first: int = 0) -> None:
        """Open the page and use it until all is over; makes: has pictures made without a pause."""
        await asyncio.sleep(self._random.uniform(0, 5))
        try:
            await self._load()
            beats = asyncio.create_task(self._stay_connected())
            looks = asyncio.create_task(self._look_at_the_header())
            work = self._make(first) if makes else self._use()
            await work
            for task in (beats, looks):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        except (httpx.HTTPError, ValueError, LookupError) as error:
            self._seen.errors.append(f"page of {self._person}: {error!r}")

    async def _load(self) -> None:
        await self._get("/")
        for each in self._can.at_the_start():
            ask = self._answer if each["queue"] is False else self._event
            await ask(each, self._can.values(each))

    async def _stay_connected(self) -> None:
        """The stream by which the server knows that the page is there."""
        while not self._seen.is_over():
            address = f"/gradio_api/heartbeat/{self._session}"
            try:
                async with self._client.stream("GET", address, timeout=None) as stream:
                    checked(stream)
                    async for _ in stream.aiter_raw():
                        pass
            except httpx.HTTPError as error:
                if not self._seen.is_over():
                    self._seen.errors.append(f"heartbeat of {self._person}: {error!r}")
                return

    async def _look_at_the_header(self) -> None:
        while not self._seen.is_over():
            await asyncio.sleep(_LOOKS)
            try:
                await self._timed("a look at the status", self._get("/status"))
            except httpx.HTTPError as error:
                self._seen.errors.append(f"status for {self._person}: {error!r}")

    async def _use(self) -> None:
        """Do one thing after the other, with pauses as of somebody who looks at it."""
        actions = (self._choose_model, self._open_gallery, self._type_prompt)
        while not self._seen.is_over():
            await self._random.choice(actions)()
            await asyncio.sleep(self._random.uniform(4, 12))

    async def _choose_model(self) -> None:
        chosen = self._can.of("at-model", "input")
        await self._timed("the choice of a model", self._event(chosen, self._can.values(chosen)))

    async def _type_prompt(self) -> None:
        typed = self._can.of("at-prompt", "change")
        values = self._can.values(typed, prompt="a red apple on a green table")
        await self._timed("the count of a prompt's tokens", self._answer(typed, values))

    async def _open_gallery(self) -> None:
        """The newest pictures, their thumbnails as far as they are new, and one of them large."""
        opened = self._can.of("Gallery", "select", by="label")
        values = ["", "", "pictures"]
        output = await self._timed("opening the gallery", self._event(opened, values))
        shown: list[int] = output[0]["items"]
        for each in [each for each in shown if each not in self._known][:_CACHED]:
            await self._timed("a thumbnail", self._get(f"/outputs/{each}/thumbnail"))
            self._known.add(each)
        if not shown:
            return
        picked = self._can.of("at-gallery", "pick")
        sent = {"event_data": {"id": self._random.choice(shown)}}
        detail = await self._timed("picking a picture", self._event(picked, [], **sent))
        if not detail[0]["prompt"].startswith(f"a red apple, person {self._person} picture"):
            self._seen.foreign.append(f"gallery of {self._person}: {detail[0]['prompt']!r}")
        await self._timed("a picture", self._get(f"/outputs/{detail[0]['id']}/image"))

    async def _make(self, number: int) -> None:
        """Press Generate, follow the job on the stage, and again."""
        submit = self._can.of("at-run", "click")
        follow = self._can.after(submit)
        while not self._seen.is_over():
            number += 1
            prompt, seed = words(self._person, number), seed_of(self._person, number)
            asked = {"prompt": prompt, "seed": seed, "steps": 4, "width": 64, "height": 64}
            self._seen.asked += 1
            values = self._can.values(submit, **asked)
            await self._timed("pressing Generate", self._event(submit, values))
            stage = (await self._event(follow, [None]))[0]
            if stage["status"] != "finished":
                self._seen.errors.append(f"stage of {self._person}: {stage!r:.300}")
                continue
            info = (await self._get(f"/outputs/{stage['items'][0]}")).json()
            self._seen.check(self._person, number, info["prompt"], info["infotext"])
            if info["seed"] != seed:
                self._seen.foreign.append(f"{prompt!r} was made with seed {info['seed']}")
            self._seen.made.append((time.monotonic(), self._person))

    async def _timed(self, action: str, work: Any) -> Any:
        start = time.perf_counter()
        done = await work
        self._seen.timed(action, start)
        return done

    async def _get(self, path: str) -> httpx.Response:
        return checked(await self._client.get(path))

    async def _answer(self, dependency: dict[str, Any], values: list[Any]) -> list[Any]:
        """What a handler says that needs no queue."""
        body = {"fn_index": dependency["id"], "data": values, "session_hash": self._session}
        answer = await self._client.post("/gradio_api/run/predict", json=body)
        data: list[Any] = checked(answer).json()["data"]
        return data

    async def _event(self, dependency: dict[str, Any], values: list[Any], **more: Any) -> list[Any]:
        """What a handler says in the end that goes through the queue."""
        body = {"fn_index": dependency["id"], "data": values, "session_hash": self._session}
        joined = await self._client.post("/gradio_api/queue/join", json=body | more)
        event = checked(joined).json()["event_id"]
        shown: list[Any] = []
        async for told in self._told():
            if told.get("event_id") != event:
                continue
            if told["msg"] == "process_generating":
                data = told["output"]["data"]
                # The first is whole, what comes after it says what is different.
                changed = zip(shown, data, strict=True) if shown else ()
                shown = [apply_diff(*each) for each in changed] or data
            elif told["msg"] == "process_completed":
                if not told["success"]:
                    raise ValueError(f"{dependency['api_name']}: {told['output']!r:.300}")
                return shown or told["output"]["data"]
        raise ValueError(f"{dependency['api_name']} was not answered.")

    async def _told(self) -> AsyncIterator[dict[str, Any]]:
        address = f"/gradio_api/queue/data?session_hash={self._session}"
        async with self._client.stream("GET", address, timeout=120) as stream:
            checked(stream)
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer; ValueError with its words when it is a refusal."""
    if answer.is_error:
        text = answer.text if answer.is_closed else ""
        raise ValueError(f"{answer.status_code} for {answer.url.path}: {text[:300]}")
    return answer
