"""`make study`: train what has not been trained yet, and print the tables of `docs/study.md`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import balance, lengths

parser = argparse.ArgumentParser(prog="study", description=__doc__)
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--steps", type=int, default=balance.STEPS, help="optimizer steps of every training")
parser.add_argument("--seconds", type=float, default=lengths.SECONDS, help="processor time of a training by length")
parser.add_argument("--length-seeds", type=int, default=6)
parser.add_argument("--folder", type=Path, default=Path("build/study"), help="where results are kept, a line each")
arguments = parser.parse_args()

torch.set_num_threads(1)  # matrices this small lose more to a second thread's hand-over than they gain
arguments.folder.mkdir(parents=True, exist_ok=True)
print("\n".join(balance.tables(balance.run(arguments.folder / "balance.jsonl", arguments.seeds, arguments.steps))))
print("\n### batches by length\n")
found = lengths.run(arguments.folder / "lengths.jsonl", arguments.length_seeds, arguments.seconds)
print("\n".join(lengths.tables(found)))
