"""Named endpoints that make pictures: from a text, and of a picture."""

import shutil
import time
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool

from studio.api.waiting import ended
from studio.errors import AtelierError, RequestError
from studio.events import Status
from studio.requests import EditRequest, GenerationRequest, Request, validated
from studio.services import Services
from tabs.blocks.maker import in_words
from tabs.endpoints.opening import OPEN

_FETCHED = 3600.0
"""Seconds in which whoever asked for a picture has fetched it."""
_LAST = 2**53
Made = tuple[str, dict[str, Any]]


def build(services: Services) -> None:
    """Add them to the page that is being built."""

    async def generate(
        prompt: str,
        negative_prompt: str = "",
        model: str = "",
        width: float | None = None,
        height: float | None = None,
        steps: float | None = None,
        cfg_scale: float | None = None,
        seed: float = -1,
    ) -> Made:
        """Makes a picture from a text; what is left out is decided by the model.

        Parameters:
            prompt: What the picture shows.
            negative_prompt: What it does not show.
            model: Id of the model; empty for the one in use.
            width: Pixels.
            height: Pixels.
            steps: More are slower and finer.
            cfg_scale: How closely the prompt is followed, 1 to 30.
            seed: The same seed makes the same picture; -1 for a new one.

        Returns:
            The picture, and its facts, with its number as `output`.
        """
        given = {
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "model": model,
            "width": width,
            "height": height,
            "steps": steps,
            "cfg_scale": cfg_scale,
            "seed": seed,
        }
        with in_words("Not made"):
            return await _made(services, validated(GenerationRequest, _whole(given)))

    async def edit(
        prompt: str,
        image: str | None = None,
        output: float = 0,
        mask: str | None = None,
        negative_prompt: str = "",
        strength: float = 0.75,
        model: str = "",
        seed: float = -1,
    ) -> Made:
        """Changes a picture as a text says, all of it or where a mask is white.

        Parameters:
            prompt: What the picture is to show.
            image: The picture; without one, that of `output` is changed.
            output: The number of a picture that was made here, for one that need not be sent.
            mask: A picture that is white where something is to be changed.
            negative_prompt: What the picture is not to show.
            strength: How much is changed, 0 to 1.
            model: Id of the model; empty for the one in use.
            seed: The same seed makes the same picture; -1 for a new one.

        Returns:
            The picture, and its facts, with its number as `output`.
        """
        given = {
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "strength": strength,
            "model": model,
            "seed": seed,
        }
        with in_words("Not changed"):
            pictures = await run_in_threadpool(_taken, services, image, output, mask)
            request = validated(EditRequest, _whole(given) | pictures)
            return await _made(services, request)

    with gr.Row(visible=False):
        prompt = gr.Textbox(label="prompt")
        negative_prompt, model = (
            gr.Textbox("", label=name) for name in ("negative_prompt", "model")
        )
        width, height, steps, cfg_scale = (
            gr.Number(None, label=name) for name in ("width", "height", "steps", "cfg_scale")
        )
        seed, output = gr.Number(-1, label="seed"), gr.Number(0, label="output")
        strength = gr.Number(0.75, label="strength")
        image, mask = gr.File(label="image"), gr.File(label="mask")
        made, facts = gr.Image(type="filepath", label="picture"), gr.JSON(label="facts")
        make, change = gr.Button(), gr.Button()
    asked = [prompt, negative_prompt, model, width, height, steps, cfg_scale, seed]
    make.click(generate, asked, [made, facts], api_name="generate", **OPEN)
    given = [prompt, image, output, mask, negative_prompt, strength, model, seed]
    change.click(edit, given, [made, facts], api_name="edit", **OPEN)


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, without what was left out; numbers come with a point from some programs."""
    whole = {"width", "height", "steps", "seed"}
    return {
        name: int(value) if name in whole and isinstance(value, float) and value % 1 == 0 else value
        for name, value in given.items()
        if value is not None
    }


def _taken(
    services: Services, image: str | None, output: float, mask: str | None
) -> dict[str, str]:
    """The hashes of source and mask, which are kept."""
    inputs = services.inputs
    if not image and not output:
        raise RequestError("There is no picture to change; send image or name an output.", "source")
    if not image and not (0 < output <= _LAST and output % 1 == 0):
        raise RequestError(f"There is no picture {output:g}; name an output by its number.")
    path = Path(image) if image else services.outputs.path(int(output))
    taken = {"source": inputs.add_picture(path.read_bytes(), path.name).hash}
    if mask:
        taken["mask"] = inputs.add_mask(Path(mask).read_bytes(), Path(mask).name).hash
    return taken


async def _made(services: Services, request: Request) -> Made:
    """The file of the one picture that a request makes, where Gradio serves it, and its facts."""
    job_id = await run_in_threadpool(services.queue.submit, request)
    row = await ended(services.queue, job_id)
    if row.status is not Status.FINISHED:
        raise AtelierError(row.reason or f"The job was {row.status.value}; ask for it again.")
    return await run_in_threadpool(_handed_over, services, job_id)


def _handed_over(services: Services, job_id: str) -> Made:
    outputs = services.queue.outputs(job_id)
    if not outputs:
        raise AtelierError("The picture was skipped; ask for it again.")
    kept = services.outputs.get(outputs[0])
    source = services.outputs.path(kept.id)
    folder = Path(get_upload_folder()) / "made"
    _clear(folder)
    copy = folder / job_id / source.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, copy)
    return str(copy), {
        "output": kept.id,
        "job": job_id,
        "url": f"{services.settings.path_prefix}/outputs/{kept.id}/image",
        "width": kept.width,
        "height": kept.height,
        "seed": kept.seed,
        "model": kept.model,
        "infotext": kept.infotext,
    }


def _clear(folder: Path) -> None:
    """Delete copies that were handed over long ago; the pictures themselves stay."""
    for each in folder.glob("*"):
        try:
            if time.time() - each.stat().st_mtime > _FETCHED:
                shutil.rmtree(each)
        except OSError:  # somebody else clears at the same time
            continue
