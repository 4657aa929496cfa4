"""The commands that make pictures."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from studio.cli.options import (
    Cfg,
    Count,
    DataDir,
    Device,
    DistilledCfg,
    Dtype,
    Model,
    Negative,
    Output,
    SamplerName,
    ScheduleName,
    Seed,
    Speedups,
    Steps,
)
from studio.cli.running import opened, run_job
from studio.errors import AtelierError, RequestError, from_os_error
from studio.requests import (
    Blend,
    EditRequest,
    GenerationRequest,
    ImageFormat,
    InpaintArea,
    MaskedContent,
    MaskMode,
    Request,
    Resize,
    Schedule,
    UpscaleRequest,
    validated,
)
from studio.services import Services
from studio.store.inputs import Input

Sourced = EditRequest | UpscaleRequest
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")


def generate(  # noqa: PLR0913 - a command's options are its layout
    prompt: Annotated[str, typer.Argument(help="What to show.")],
    negative: Negative = "",
    model: Model = "",
    sampler: SamplerName = None,
    schedule: ScheduleName = Schedule.AUTOMATIC.value,
    steps: Steps = None,
    cfg: Cfg = None,
    distilled_cfg: DistilledCfg = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Seed = -1,
    count: Count = 1,
    batch: Annotated[int, typer.Option(help="Pictures denoised together.")] = 1,
    clip_skip: Annotated[int, typer.Option(help="1 uses the last layer.")] = 1,
    hires: Annotated[
        float, typer.Option(help="Enlarge by this in a second pass; 1 for none.")
    ] = 1.0,
    hires_upscaler: Annotated[str, typer.Option(help="As listed by `atelier models`.")] = "latent",
    hires_strength: Annotated[float, typer.Option(help="How much is painted anew.")] = 0.6,
    hires_steps: Annotated[int, typer.Option(help="0 for as many as in the first pass.")] = 0,
    speedup: Speedups = None,
    output: Output = None,
    data_dir: DataDir = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Make pictures from a text and print where they are."""
    fields = {
        "prompt": prompt,
        "negative_prompt": negative,
        "model": model,
        **_sampling(sampler, schedule, steps, cfg, distilled_cfg),
        "width": width,
        "height": height,
        "seed": seed,
        "batch_count": count,
        "batch_size": batch,
        "clip_skip": clip_skip,
        "hires_scale": hires,
        "hires_upscaler": hires_upscaler,
        "hires_strength": hires_strength,
        "hires_steps": hires_steps,
        "speedups": speedup or [],
        "preview_every": 0,
        "image_format": _format_of(output),
    }
    request = validated(GenerationRequest, fields)
    with opened(data_dir, device, dtype) as services:
        _run(services, request, output)


def edit(  # noqa: PLR0913 - a command's options are its layout
    picture: Annotated[Path, typer.Argument(help="The picture to change, or a folder of them.")],
    prompt: Annotated[str, typer.Option(help="What to show.")] = "",
    negative: Negative = "",
    mask: Annotated[
        Path | None, typer.Option(help="Change only what is white in this picture.")
    ] = None,
    strength: Annotated[float, typer.Option(help="0 returns the picture, 1 ignores it.")] = 0.75,
    extend: Annotated[
        list[str] | None,
        typer.Option(metavar="SIDE=PIXELS", help="New ground: left, right, top or bottom."),
    ] = None,
    feather: Annotated[int, typer.Option(help="Pixels over which the mask's edge fades.")] = 4,
    grow: Annotated[int, typer.Option(help="Pixels that the mask grows by.")] = 0,
    invert: Annotated[bool, typer.Option("--invert", help="Keep what is masked.")] = False,
    content: Annotated[str, typer.Option(help=", ".join(MaskedContent))] = "original",
    blend: Annotated[str, typer.Option(help=", ".join(Blend))] = "feather",
    only_masked: Annotated[
        bool, typer.Option("--only-masked", help="Work on the masked part at full size.")
    ] = False,
    padding: Annotated[int, typer.Option(help="Pixels around the masked part.")] = 32,
    soft: Annotated[
        bool, typer.Option("--soft", help="Change each pixel as much as the mask says.")
    ] = False,
    resize: Annotated[str, typer.Option(help=", ".join(Resize))] = "crop",
    model: Model = "",
    sampler: SamplerName = None,
    schedule: ScheduleName = Schedule.AUTOMATIC.value,
    steps: Steps = None,
    cfg: Cfg = None,
    distilled_cfg: DistilledCfg = None,
    width: Annotated[
        int | None, typer.Option(help="Pixels; the picture's own if not given.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Seed = -1,
    count: Count = 1,
    speedup: Speedups = None,
    output: Output = None,
    data_dir: DataDir = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Change a picture by a text and print where the result is."""
    fields = {
        "prompt": prompt,
        "negative_prompt": negative,
        "model": model,
        "strength": strength,
        "feather": feather,
        "mask_grow": grow,
        "mask_mode": MaskMode.NOT_MASKED if invert else MaskMode.MASKED,
        "masked_content": content,
        "blend": blend,
        "area": InpaintArea.MASKED if only_masked else InpaintArea.WHOLE,
        "padding": padding,
        "soft": soft,
        "resize": resize,
        **_sampling(sampler, schedule, steps, cfg, distilled_cfg),
        "width": width,
        "height": height,
        "seed": seed,
        "batch_count": count,
        "speedups": speedup or [],
        "preview_every": 0,
        "image_format": ImageFormat.PNG if picture.is_dir() else _format_of(output),
        **_sides(extend or []),
    }
    request = validated(EditRequest, fields)
    with opened(data_dir, device, dtype) as services:
        if mask is not None:
            request = request.model_copy(update={"mask": _kept(services.inputs.add_mask, mask)})
        _run_on(services, request, picture, output)


def upscale(  # noqa: PLR0913 - a command's options are its layout
    picture: Annotated[Path, typer.Argument(help="The picture to enlarge, or a folder of them.")],
    scale: Annotated[float, typer.Option(help="Enlarge by this, 1 to 8.")] = 2.0,
    upscaler: Annotated[str, typer.Option(help="As listed by `atelier models`.")] = "lanczos",
    strength: Annotated[
        float, typer.Option(help="0 only enlarges; above, a model redraws it in tiles.")
    ] = 0.0,
    tile: Annotated[
        int, typer.Option(help="Pixels that are redrawn at once; 0 for the model's size.")
    ] = 0,
    overlap: Annotated[float, typer.Option(help="Share of a tile that neighbours share.")] = 0.25,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = "",
    negative: Negative = "",
    model: Model = "",
    sampler: SamplerName = None,
    schedule: ScheduleName = Schedule.AUTOMATIC.value,
    steps: Steps = None,
    cfg: Cfg = None,
    distilled_cfg: DistilledCfg = None,
    seed: Seed = -1,
    speedup: Speedups = None,
    output: Output = None,
    data_dir: DataDir = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Make a picture larger and print where the result is."""
    fields = {
        "scale": scale,
        "upscaler": upscaler,
        "strength": strength,
        "tile": tile,
        "overlap": overlap,
        "prompt": prompt,
        "negative_prompt": negative,
        "model": model,
        **_sampling(sampler, schedule, steps, cfg, distilled_cfg),
        "seed": seed,
        "speedups": speedup or [],
        "preview_every": 0,
        "image_format": ImageFormat.PNG if picture.is_dir() else _format_of(output),
    }
    request = validated(UpscaleRequest, fields)
    with opened(data_dir, device, dtype) as services:
        _run_on(services, request, picture, output)


def _sampling(
    sampler: str | None,
    schedule: str,
    steps: int | None,
    cfg: float | None,
    distilled_cfg: float | None,
) -> dict[str, object]:
    """These fields of a request; what was not given is left to the model."""
    fields = {
        "sampler": sampler,
        "schedule": schedule,
        "steps": steps,
        "cfg_scale": cfg,
        "distilled_cfg_scale": distilled_cfg,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _run_on(services: Services, request: Sourced, picture: Path, output: Path | None) -> None:
    """A job for a picture, or one for each picture of a folder."""
    if picture.is_dir():
        _run_on_folder(services, request, picture, output)
    else:
        source = _kept(services.inputs.add_picture, picture)
        _run(services, request.model_copy(update={"source": source}), output)


def _kept(add: Callable[[bytes, str], Input], path: Path) -> str:
    """The hash of a file that is now an input; what was changed is told on standard error."""
    kept = add(_read(path), path.name)
    for note in kept.notes:
        print(note, file=sys.stderr)
    return kept.hash


def _run_on_folder(services: Services, request: Sourced, folder: Path, output: Path | None) -> None:
    """One result for each picture of a folder, under its own name; the others are passed over."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not pictures:
        raise RequestError(f"Folder {folder} holds no pictures ({', '.join(_PICTURES)}).")
    if output is not None and not output.is_dir():
        raise RequestError(f"For a folder of pictures, --output {output} must be a folder.")
    failed = 0
    for path in pictures:
        try:
            source = _kept(services.inputs.add_picture, path)
            target = None if output is None else output / f"{path.stem}.png"
            _run(services, request.model_copy(update={"source": source}), target)
        except AtelierError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise AtelierError(f"{failed} of {len(pictures)} pictures could not be done; see above.")


def _sides(extend: list[str]) -> dict[str, int]:
    """`left=128` as a field of the request."""
    fields: dict[str, int] = {}
    for text in extend:
        side, _, pixels = text.partition("=")
        if side not in ("left", "right", "top", "bottom") or not pixels.isdecimal():
            raise RequestError(
                f"--extend is {text!r}, but must be a side and pixels, such as left=128.",
                field="extend_left",
            )
        fields[f"extend_{side}"] = int(pixels)
    return fields


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"read {path}") from error


def _run(services: Services, request: Request, output: Path | None) -> None:
    """Do a job in this process, past the queue, and print where its pictures are."""
    ended = run_job(services, services.runner, request)
    paths = [services.outputs.path(output_id) for output_id in ended.outputs]
    if output is not None:
        paths = _copy(paths, output)
    for path in paths:
        print(path)


def _format_of(output: Path | None) -> ImageFormat:
    suffixes = {
        ".png": ImageFormat.PNG,
        ".jpg": ImageFormat.JPEG,
        ".jpeg": ImageFormat.JPEG,
        ".webp": ImageFormat.WEBP,
    }
    if output is None:
        return ImageFormat.PNG
    if output.suffix.lower() not in suffixes:
        raise RequestError(
            f"Output {output} has no picture's ending; use one of {', '.join(suffixes)}."
        )
    if not output.parent.is_dir():
        raise RequestError(f"There is no folder {output.parent} for the output; make it first.")
    return suffixes[output.suffix.lower()]


def _copy(paths: list[Path], output: Path) -> list[Path]:
    """Copies under the wanted name, numbered when there are several."""
    targets = [output]
    if len(paths) > 1:
        width = len(str(len(paths)))
        targets = [
            output.with_stem(f"{output.stem}-{number:0{width}d}")
            for number in range(1, len(paths) + 1)
        ]
    for path, target in zip(paths, targets, strict=True):
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise from_os_error(error, f"copy the picture to {target}") from error
    return targets
