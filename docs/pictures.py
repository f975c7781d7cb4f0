"""Draw the pictures of the documentation from real plans: `python docs/pictures.py` writes docs/pictures/*.svg.

Each picture is written twice, for light and for dark pages.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

import batchwright as bw

FOLDER = Path(__file__).parent / "pictures"
THEMES = {
    "light": {"ink": "#1f2430", "soft": "#6b7280", "line": "#c7ccd6", "fill": "#f4f6fa", "empty": "#e3e6ec"},
    "dark": {"ink": "#e8eaf0", "soft": "#9aa3b5", "line": "#4a5264", "fill": "#22262f", "empty": "#343a47"},
}
CLASSES = ("#3b82c4", "#e0a030", "#d1495b")  # told apart with any kind of colour vision, on white and on black
LABELS = np.repeat([0, 1, 2], [90, 20, 4])
Shapes = list[str]


def text(x: float, y: float, words: str, *, size: int = 14, colour: str = "ink", anchor: str = "start") -> str:
    colour = colour if colour.startswith("#") else f"{{{colour}}}"
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, height: float, colour: str, *, round_: float = 2, line: str = "") -> str:
    colour = colour if colour.startswith("#") else f"{{{colour}}}"
    stroke = f' stroke="{{{line}}}"' if line else ""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_:g}" fill="{colour}"{stroke}/>'


def arrow(x: float, y: float, end: float) -> str:
    return (
        f'<path d="M{x:g} {y:g}H{end:g}m-7 -5l7 5l-7 5" fill="none" stroke="{{soft}}" stroke-width="1.8" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def squares(x: float, y: float, classes: Sequence[int], *, side: float = 13, gap: float = 3) -> Shapes:
    return [box(x + place * (side + gap), y, side, side, CLASSES[name]) for place, name in enumerate(classes)]


def flow() -> tuple[int, int, Shapes]:
    """Labels, a plan, the micro-batches of two ranks, and what happens to them."""
    plan = bw.balanced(LABELS, 9, seed=3)
    shapes = [text(20, 28, "your data", size=15), text(20, 46, "labels, lengths, sources", size=12, colour="soft")]
    top = 62
    for name, count in enumerate(np.bincount(LABELS).tolist()):
        shapes += [box(20 + at % 12 * 10, top + at // 12 * 10, 8, 8, CLASSES[name], round_=1) for at in range(count)]
        top += -(-count // 12) * 10 + 6
    shapes += [arrow(156, 112, 196), box(206, 62, 138, 100, "fill", round_=8, line="line")]
    shapes += [text(275, 92, "a plan", size=16, anchor="middle")]
    for line, words in enumerate(("what is in every", "batch, decided", "once, by number")):
        shapes.append(text(275, 113 + 17 * line, words, size=12, colour="soft", anchor="middle"))
    shapes.append(arrow(354, 112, 394))
    for rank in range(2):
        shapes.append(text(408, 28 + 86 * rank, f"rank {rank}", size=15))
        for step in range(3):
            number = 2 * step + rank
            y = 38 + 86 * rank + 19 * step
            shapes.append(text(438, y + 11, f"{number}", size=11, colour="soft", anchor="end"))
            shapes += squares(446, y, LABELS[plan[number]].tolist())
    shapes += [arrow(604, 112, 644), text(656, 62, "your training loop", size=15)]
    for line, words in enumerate(
        ("any trainer, any workers", "stop and go on, anywhere", "ragged fields collated", "priors corrected")
    ):
        shapes.append(text(656, 86 + 20 * line, words, size=12, colour="soft"))
    return 820, 210, shapes


def balance() -> tuple[int, int, Shapes]:
    """Ten batches of three samplers, sorted by class."""
    shapes: Shapes = []
    generator = torch.Generator().manual_seed(0)
    weights = (1 / np.bincount(LABELS))[LABELS]
    drawn = list(WeightedRandomSampler(weights.tolist(), 120, generator=generator))
    shuffled = torch.randperm(len(LABELS), generator=generator)[:108].tolist()
    plan = bw.balanced(LABELS, 12)
    ways = {
        "shuffle": [shuffled[at : at + 12] for at in range(0, 108, 12)],
        "weights, with replacement": [drawn[at : at + 12] for at in range(0, 108, 12)],
        "bw.balanced(labels, 12)": [plan[number] for number in range(9)],
    }
    for column, (name, batches) in enumerate(ways.items()):
        x = 20 + 235 * column
        shapes.append(text(x, 26, name))
        for row, batch in enumerate(batches):
            shapes += squares(x, 38 + 16 * row, sorted(LABELS[np.asarray(batch)].tolist()))
    shapes.append(text(20, 206, "a row is a batch; 90 samples are blue, 20 yellow, 4 red", size=12, colour="soft"))
    return 720, 220, shapes


def lengths() -> tuple[int, int, Shapes]:
    """One micro-batch of each kind; what is grey is computed for nothing."""
    rng = np.random.default_rng(4)
    all_lengths = np.clip(rng.lognormal(3.6, 0.8, 4000), 6, 200).astype(int)
    shuffled, budgeted = bw.shuffled(len(all_lengths), 9), bw.budgeted(all_lengths, 1000)
    packed = bw.packed(all_lengths, 200, packs=9)
    alike = next(batch for batch in budgeted.epoch(0) if len(batch) >= 9 and all_lengths[batch].max() > 80)[:9]
    shown = next(packed[t] for t in range(20) if len(packed.packs(packed[t])) == 9)
    ways = {
        "shuffled: padded to the longest": [[int(n)] for n in all_lengths[shuffled[3]]],
        "budgeted: alike in length": [[int(n)] for n in all_lengths[alike]],
        "packed: one after the other": [all_lengths[pack].tolist() for pack in packed.packs(shown)],
    }
    shapes: Shapes = []
    for column, (name, rows) in enumerate(ways.items()):
        x, width = 20 + 250 * column, max(sum(row) for row in rows)
        width = 200 if name.startswith("packed") else width
        shapes.append(text(x, 26, name))
        for line, row in enumerate(rows):
            y, at = 38 + 16 * line, 0
            shapes.append(box(x, y, width * 1.1, 12, "empty"))
            for number, length in enumerate(row):
                shapes.append(box(x + at * 1.1, y, max(1.0, length * 1.1 - 1), 12, CLASSES[number % 2]))
                at += length
        useful = sum(map(sum, rows)) / (width * len(rows))
        shapes.append(text(x, 204, f"{useful:.0%} of the tokens are yours", size=12, colour="soft"))
    return 780, 216, shapes


def resume() -> tuple[int, int, Shapes]:
    """A run on two ranks that goes on with three: the list of micro-batches is one."""
    shapes = [text(20, 26, "two ranks"), text(394, 26, "stopped after 8; goes on with three")]
    for number in range(8):
        x, y = 20 + number // 2 * 84, 40 + number % 2 * 36
        shapes += [
            box(x, y, 72, 26, CLASSES[0], round_=4),
            text(x + 36, y + 18, f"batch {number}", size=12, colour="#101318", anchor="middle"),
        ]
    for number in range(8, 17):
        place = number - 8
        x, y = 394 + place // 3 * 84, 40 + place % 3 * 36
        shapes += [
            box(x, y, 72, 26, CLASSES[1], round_=4),
            text(x + 36, y + 18, f"batch {number}", size=12, colour="#101318", anchor="middle"),
        ]
    shapes.append('<path d="M374 14V140" stroke="{soft}" stroke-width="1.5" stroke-dasharray="4 4"/>')
    shapes.append(
        text(20, 166, "no sample is lost or repeated; the ranks do not talk to each other", size=12, colour="soft")
    )
    return 680, 180, shapes


PICTURES: dict[str, Callable[[], tuple[int, int, Shapes]]] = {
    "flow": flow,
    "balance": balance,
    "lengths": lengths,
    "resume": resume,
}


def main(folder: Path = FOLDER) -> list[Path]:
    """Write every picture for both themes."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, draw in PICTURES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bw.PoorWarning)  # four red samples repeat: they are few on purpose
            width, height, shapes = draw()
        for theme, colours in THEMES.items():
            body = "\n".join(shape.format(**colours) for shape in shapes)
            svg = (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n{body}\n</svg>\n'
            )
            written.append(folder / f"{name}-{theme}.svg")
            written[-1].write_text(svg)
    return written


if __name__ == "__main__":
    for path in main():
        print(path)
