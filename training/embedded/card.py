"""Write the model's card: its figures, curve and grid of pictures, put into `card.md`.

The grid's prompts were chosen by what there is to show; all of them are drawn with one seed, and no
picture is drawn again. Evaluations are read from the workshop, so they must have been made.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from string import Template

from training.embedded.evaluate import (
    SETTINGS,
    Verdict,
    best_cfg,
    draw,
    pipeline,
    share,
    sheet,
    table,
    verdicts_path,
)
from training.embedded.prompts import FOLDER as PROMPTS
from training.embedded.prompts import Wish
from training.embedded.recipes import SHIPPED
from training.embedded.sets import SETS, STYLES
from training.embedded.things import things
from training.embedded.workshop import workshop

TEXT = Path(__file__).with_name("card.md")
SEED = 1
STEPS = 20
WIDTH, HEIGHT, MARGIN = 640, 240, 40  # px of the curve


def grid_prompts() -> list[str]:
    """The 64 prompts of the grid, in its order."""
    text = (PROMPTS / "grid.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def verdicts(folder: Path, wishes: str) -> list[Verdict]:
    """What `evaluate` found; SystemExit where it was not run."""
    path = verdicts_path(folder, wishes, best_cfg(folder))
    if not path.is_file():
        command = f"python -m training.embedded evaluate {folder} --wishes {wishes}"
        raise SystemExit(f"{path} is missing: run {command} first.")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Verdict(**{**row, "wish": Wish(**row["wish"])}) for row in rows]


def by_thing(found: Sequence[Verdict]) -> list[str]:
    """Lines that say which things are recognised in how many of their pictures."""
    right, drawn = Counter[str](), Counter[str]()
    for verdict in found:
        drawn[verdict.wish.thing] += 1
        right[verdict.wish.thing] += verdict.first
    most = max(drawn.values())
    lines = []
    for count in range(most, -1, -1):
        names = sorted(name for name in drawn if right[name] == count)
        if names:
            lines.append(f"* **{count} of {most}** ({len(names)} things): {', '.join(names)}")
    return lines


def by_style(found: Sequence[Verdict]) -> list[str]:
    """Lines of a Markdown table: for each style how often it and the thing are right."""
    lines = ["| style | things in it | style right | thing, first choice | among three |"]
    lines.append("|---|---|---|---|---|")
    for style in STYLES:
        group = [v for v in found if v.wish.style == style]
        values = (share(group, right) for right in map(attrgetter, ("style", "first", "third")))
        short = (value.partition(" of ")[0] for value in values)
        lines.append(f"| {style} | {len(group)} | {' | '.join(short)} |")
    return lines


def curve(names: Iterable[str]) -> list[tuple[int, float, float]]:
    """Step, hours and probe loss of one run after the other, each step once."""
    points: dict[int, tuple[int, float, float]] = {}
    for name in names:
        with (workshop() / "runs" / name / "curve.tsv").open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                step = int(row["step"])
                points[step] = (step, float(row["minutes"]) / 60, float(row["probe"]))
    return [points[step] for step in sorted(points)]


def drawn_curve(points: Sequence[tuple[int, float, float]]) -> str:
    """The probe loss over the steps as SVG, legible on white and on black."""
    last = points[-1][0]
    low, high = (f(loss for _, _, loss in points) for f in (min, max))
    span = high - low or 1.0  # of a curve with one point

    def x(step: float) -> float:
        return MARGIN + step / last * (WIDTH - 2 * MARGIN)

    def y(loss: float) -> float:
        return MARGIN / 2 + (high - loss) / span * (HEIGHT - 1.5 * MARGIN)

    line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, _, loss in points)
    ticks = "".join(
        f'<text x="{x(step):.0f}" y="{HEIGHT - 14}" text-anchor="middle">{step:,}</text>'
        for step in range(0, last + 1, 2000)
    )
    levels = "".join(
        f'<text x="{MARGIN - 6}" y="{y(loss) + 4:.0f}" text-anchor="end">{loss:.2f}</text>'
        for loss in (low, high)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        "<title>Loss on fixed pictures over the steps of training</title>"
        f'<g fill="#888" font-family="sans-serif" font-size="11">{ticks}{levels}</g>'
        f'<polyline points="{line}" fill="none" stroke="#7c6cf0" stroke-width="2"/></svg>\n'
    )


def licences() -> list[str]:
    """Lines of a Markdown table: the sets of drawings, whose they are, and their licences."""
    lines = ["| set | word in prompts | by | licence |", "|---|---|---|---|"]
    for art in SETS:
        package = f"{art.package} {art.version}"
        lines.append(f"| [{package}]({art.source}) | {art.style} | {art.author} | {art.licence} |")
    return lines


def write(folder: Path, names: Sequence[str]) -> None:
    """The whole stage: README.md, atelier.toml, grid.webp and curve.svg of a model's folder."""
    (folder / "atelier.toml").write_text(SETTINGS.read_text(encoding="utf-8"), encoding="utf-8")
    cfg = best_cfg(folder)
    final, alone, styled = (verdicts(folder, w) for w in ("final", "things", "styles"))
    points = curve(names)
    fields = {
        "name": folder.name,
        "things": str(len(things())),
        "names": ", ".join(sorted(thing.name for thing in things())),
        "figures": "\n".join(table(final)),
        "before": SHIPPED.name,
        "figures_before": "\n".join(table(verdicts(SHIPPED, "final"))),
        "by_thing": "\n".join(by_thing(alone)),
        "by_style": "\n".join(by_style(styled)),
        "steps": f"{points[-1][0]:,}",
        "hours": f"{points[-1][1]:.1f}",
        "licences": "\n".join(licences()),
        "seed": str(SEED),
        "cfg": f"{cfg:g}",
        "cfg_before": f"{best_cfg(SHIPPED):g}",
    }
    text = Template(TEXT.read_text(encoding="utf-8")).substitute(fields)
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "curve.svg").write_text(drawn_curve(points), encoding="utf-8")
    pictures = draw(pipeline(folder), grid_prompts(), SEED, cfg, STEPS)
    sheet(pictures).save(folder / "grid.webp", quality=90, method=6)
    print(f"{folder / 'README.md'} is written.")
