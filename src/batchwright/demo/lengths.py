"""A small transformer on the text of Python's own standard library, five ways to fill its batches."""

from __future__ import annotations

import ast
import re
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.table import Table
from torch import nn

from ..plans.balanced import shuffled
from ..plans.budgeted import budgeted
from ..plans.grouped import grouped
from ..plans.packed import packed
from . import as_table, console

__all__ = ["run", "texts_of_the_standard_library"]

LONGEST = 256
VOCABULARY = 2000
TOKENS = 4096  # a micro-batch, padding included
WIDTH, HEADS, LAYERS = 64, 4, 2
_TOKEN = re.compile(r"[A-Za-z_]+|\d|[^\sA-Za-z_\d]")


def run(*, seconds: float = 8.0, files: int = 150) -> list[dict[str, Any]]:
    """Train with every way of batching for the same time and print one table."""
    screen = console()
    torch.set_num_threads(1)
    samples = texts_of_the_standard_library(files)
    lengths = np.array([len(sample) for sample in samples])
    rows = TOKENS // LONGEST
    screen.print(
        f"{len(samples):,} functions and docstrings of the standard library, {lengths.min()} to {lengths.max()} tokens, "
        f"mean {lengths.mean():.0f}; {WIDTH} wide, {LAYERS} layers, {seconds:g} s of processor time each"
    )
    packs = packed(lengths, LONGEST, packs=rows)
    mean = max(1, int(TOKENS / lengths.mean()))
    ways: dict[str, tuple[Any, Callable[[np.ndarray], list[np.ndarray]]]] = {
        f"shuffled, {rows} samples": (shuffled(len(samples), rows), singly),
        f"shuffled, {mean} samples": (shuffled(len(samples), mean), singly),
        f"grouped, {mean} samples": (grouped(lengths, mean), singly),
        f"budgeted, {TOKENS} tokens": (budgeted(lengths, TOKENS), singly),
        f"packed, {rows} x {LONGEST}": (packs, packs.packs),
    }
    head = "batches", "steps", "useful tokens/s", "computed tokens/s", "useful", "loss a token, last quarter"
    table, rows_of_table = Table(*head, box=None, pad_edge=False), []
    for name, (plan, parts) in ways.items():
        with screen.status(f"training with {name} ..."):
            rows_of_table.append([name, *trained(samples, plan, parts, seconds)])
        table.add_row(*rows_of_table[-1])
    screen.print(table)
    screen.print("useful: tokens that are text; computed: what the model ran over, padding included")
    return [as_table(head, rows_of_table)]


def singly(batch: np.ndarray) -> list[np.ndarray]:
    """Every sample a row of its own."""
    return [np.array([sample]) for sample in batch]


def trained(
    samples: list[list[int]], plan: Any, parts: Callable[[np.ndarray], list[np.ndarray]], seconds: float
) -> tuple[str, ...]:
    """Train until the processor time is up; the cells of a row."""
    torch.manual_seed(0)
    losses: list[tuple[float, float]] = []
    for step in steps(RowTransformer(), samples, plan, parts, seconds):
        if step.seconds > seconds * 0.75:
            losses.append((step.loss * step.targets, step.targets))
    late = sum(total for total, _ in losses) / max(sum(count for _, count in losses), 1)
    return (
        f"{step.number}",
        f"{step.useful / step.seconds:,.0f}",
        f"{step.computed / step.seconds:,.0f}",
        f"{step.useful / step.computed:.1%}",
        f"{late:.3f}",
    )


class TrainingProgress(NamedTuple):
    """What a training has done after one of its steps.

    Attributes:
        number: how many steps.
        useful: tokens that are text, of all steps.
        computed: tokens that the model ran over, padding included, of all steps.
        seconds: of processor time.
        loss: the mean loss of the targets of this step.
        targets: how many this step has.
    """

    number: int
    useful: int
    computed: int
    seconds: float
    loss: float
    targets: int


def steps(
    model: nn.Module,
    samples: Sequence[list[int]],
    plan: Any,
    parts: Callable[[np.ndarray], list[np.ndarray]],
    seconds: float,
) -> Iterator[TrainingProgress]:
    """Train until the processor time is up, which is fair where the machine is shared."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    useful = computed = 0
    start = time.process_time()
    for number, batch in enumerate(endless(plan), 1):
        tokens, places, owners = row_tensors([[samples[i] for i in part] for part in parts(batch)])
        loss, targets = model(tokens, places, owners)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        useful += int((owners > 0).sum())
        computed += tokens.numel()
        elapsed = time.process_time() - start
        yield TrainingProgress(number, useful, computed, elapsed, float(loss.detach()), targets)
        if elapsed > seconds:
            break


def endless(plan: Any) -> Iterator[np.ndarray]:
    """Epoch after epoch."""
    epoch = 0
    while True:
        batches = plan.epoch(epoch)
        for number in range(len(batches)):
            yield batches[number]
        epoch += 1


def row_tensors(parts: list[list[list[int]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, places within a sample, and which sample of the row (0: padding), each (rows, longest)."""
    width = max(sum(map(len, part)) for part in parts)
    tokens, places, owners = (np.zeros((len(parts), width), np.int64) for _ in range(3))
    for row, part in enumerate(parts):
        at = 0
        for number, sample in enumerate(part, start=1):
            end = at + len(sample)
            tokens[row, at:end], places[row, at:end], owners[row, at:end] = sample, np.arange(len(sample)), number
            at = end
    return torch.from_numpy(tokens), torch.from_numpy(places), torch.from_numpy(owners)


class RowTransformer(nn.Module):
    """A causal transformer that sees of a row only the sample a token is in."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, WIDTH)
        self.place = nn.Embedding(LONGEST, WIDTH)
        for table in (self.token, self.place):  # the token table is the output too: logits begin near 0
            nn.init.normal_(table.weight, std=0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: torch.Tensor, places: torch.Tensor, owners: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The mean loss of the next token, and over how many tokens."""
        width = tokens.shape[1]
        own = owners[:, :, None] == owners[:, None, :]
        blocked = ~(own & torch.ones(width, width, dtype=torch.bool).tril())
        mask = blocked.repeat_interleave(HEADS, dim=0)
        hidden = self.token(tokens) + self.place(places)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=mask)
        next_is_own = (owners[:, 1:] == owners[:, :-1]) & (owners[:, 1:] > 0)
        logits = self.norm(hidden[:, :-1][next_is_own]) @ self.token.weight.T
        return nn.functional.cross_entropy(logits, tokens[:, 1:][next_is_own]), int(next_is_own.sum())


def texts_of_the_standard_library(files: int) -> list[list[int]]:
    """Functions and docstrings of the standard library's top-level modules as token numbers, at most `LONGEST` each."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:files]:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                texts.append(ast.get_docstring(node) or "")
                if not isinstance(node, ast.ClassDef):
                    texts.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    words = [_TOKEN.findall(text) for text in texts]
    common = Counter(word for text in words for word in text).most_common(VOCABULARY - 1)
    number = {word: place for place, (word, _) in enumerate(common, start=1)}
    found = [[number.get(word, 0) for word in text[:LONGEST]] for text in words]
    return [text for text in found if len(text) >= 4]
