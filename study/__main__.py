"""`make study`: train what has not been trained yet, and write the tables of the documentation."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import balance, lengths

HEAD = """# All tables of the study

Written by `make study`. In percent. The first line of a table is the mean over seeds for the natural stream. The other
lines are mean differences from it, paired by seed, with 95 % intervals; bold where the interval does not contain 0.
*Adjusted to uniform*: after the training, the logits were adjusted from the shares that were trained on to uniform ones.
*Prior corrected*: to natural ones. [What it means](study.md)."""

parser = argparse.ArgumentParser(prog="study", description=__doc__)
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--steps", type=int, default=balance.STEPS, help="optimizer steps of every training")
parser.add_argument("--seconds", type=float, default=lengths.SECONDS, help="processor time of a training by length")
parser.add_argument("--length-seeds", type=int, default=10)
parser.add_argument("--folder", type=Path, default=Path("build/study"), help="where results are kept, a line each")
parser.add_argument("--page", type=Path, default=Path("docs/study-tables.md"), help="where the tables are written")
arguments = parser.parse_args()

torch.set_num_threads(1)  # matrices this small lose more to a second thread's hand-over than they gain
arguments.folder.mkdir(parents=True, exist_ok=True)
values = balance.run(arguments.folder / "balance.jsonl", arguments.seeds, arguments.steps)
found = lengths.run(arguments.folder / "lengths.jsonl", arguments.length_seeds, arguments.seconds)
page = [HEAD, *balance.tables(values), "\n## Batches by length\n", *lengths.tables(found)]
arguments.page.write_text("\n".join(page) + "\n")
print(arguments.page)
