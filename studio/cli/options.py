"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from studio.requests import Sampler, Schedule, Speedup

# Not a Path: that would read the empty text as the working folder before the settings see it.
DataDir = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Folder for everything that is written.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N, mps, xpu or xpu:N.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, float16 or bfloat16.")]
Negative = Annotated[str, typer.Option(help="What not to show.")]
Model = Annotated[str, typer.Option(help="Id of the model; see `atelier models`.")]
SamplerName = Annotated[
    str | None, typer.Option(help=f"The model's own if not given. {', '.join(Sampler)}")
]
ScheduleName = Annotated[str, typer.Option(help=", ".join(Schedule))]
Steps = Annotated[
    int | None, typer.Option(help="Denoising steps, 1 to 150; the model's own number if not given.")
]
Cfg = Annotated[float | None, typer.Option(help="CFG scale, 1 to 30.")]
DistilledCfg = Annotated[
    float | None, typer.Option(help="Distilled CFG scale of models such as FLUX.1 dev, 0 to 30.")
]
Seed = Annotated[int, typer.Option(help="-1 draws one.")]
Count = Annotated[int, typer.Option(help="Number of batches.")]
Speedups = Annotated[
    list[str] | None,
    typer.Option("--speedup", metavar="NAME", help=f"May be given for each. {', '.join(Speedup)}"),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Copy the picture here (.png, .jpg or .webp)."),
]
