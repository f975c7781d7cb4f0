"""Collating beside the collate functions that users have today, on the same samples in the same run.

    python benchmarks/collate.py [--only "small samples"]

Each case gives the processor times of both, in turns, and the median ratio of their turns beside its limit. Batchwright
may not be slower than the peer; a case with a larger limit says why. Where the peer loops in Python over samples,
batchwright must be at least 3 times as fast.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from limits import Limits
from timing import paired
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

import batchwright as bw

SECONDS_A_CASE = 3.0
ANY_PEER = 1.0
# A call of torch.stack for each field is most of what both take for hundreds of small samples. Ours also compares the
# dtypes, 50 ns a tensor where torch.stack takes 110: torch would cast others silently, and only reading each finds them.
# What numbers take less than in torch.tensor makes up for that, and no more.
MANY_ROWS = 1.05
# Both write the same 21 MB; how fast depends on what else uses the memory.
LARGE = 1.15
LOOPING_PEER = 3.0


@dataclass(frozen=True)
class Case:
    """One comparison: both are called with the same samples.

    `loops` says whether the peer's Python goes over them, `most` how much of the peer's time ours may take otherwise.
    """

    name: str
    loops: bool
    samples: list[Any]
    peer: Callable[[list[Any]], Any]
    ours: Callable[[list[Any]], Any]
    most: float = ANY_PEER


def lengths(count: int, mean: float = 5.0, spread: float = 1.0, most: int = 1024) -> list[int]:
    """Log-normal lengths from 16 on, as of the sequences of an instruction corpus."""
    draw = random.Random(0)
    return [min(max(int(draw.lognormvariate(mean, spread)), 16), most) for _ in range(count)]


def default_collate_images() -> Case:
    samples = [{"image": torch.rand(3, 224, 224), "label": n} for n in range(64)]
    return Case("default_collate: 64 images", False, samples, default_collate, bw.Collate(image=bw.stack()))


def default_collate_rows(count: int, *, declared: bool) -> Case:
    samples = [{"x": torch.rand(32), "y": torch.rand(8), "label": n, "weight": 0.5} for n in range(count)]
    fields = {"x": bw.stack(), "y": bw.stack(), "label": bw.scalar(), "weight": bw.scalar()} if declared else {}
    name = f"default_collate: {count} small samples of 4 fields{'' if declared else ', not declared'}"
    most = MANY_ROWS if count > 32 else ANY_PEER
    return Case(name, False, samples, default_collate, bw.Collate(fields), most)


def default_collate_tuples(count: int) -> Case:
    samples = [(torch.rand(32), n) for n in range(count)]
    ours = bw.Collate([bw.stack(), bw.scalar()])
    return Case(f"default_collate: {count} tuples of a vector and a label", False, samples, default_collate, ours)


def pad_sequence_alone(count: int) -> Case:
    samples = [{"ids": torch.arange(length)} for length in lengths(count)]
    peer = lambda rows: pad_sequence([row["ids"] for row in rows], batch_first=True)
    return Case(f"pad_sequence: {count} sequences", False, samples, peer, bw.Collate(ids=bw.ragged(pad=0)))


def pad_sequence_and_lengths(count: int) -> Case:
    """The lengths, without which what is padded is of no use, are part of every batch of ours."""
    samples = [{"ids": torch.arange(length)} for length in lengths(count)]

    def peer(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        ids = [row["ids"] for row in rows]
        return {"ids": pad_sequence(ids, batch_first=True), "lengths": torch.tensor([len(each) for each in ids])}

    collate = bw.Collate(ids=bw.ragged(pad=0, also={"lengths": "lengths"}))
    ours = lambda rows: dict(**collate(rows))
    return Case(f"pad_sequence and lengths: {count} sequences", False, samples, peer, ours)


def pad_sequence_wide(features: int) -> Case:
    samples = [{"frames": torch.rand(length, features)} for length in lengths(64)]
    peer = lambda rows: pad_sequence([row["frames"] for row in rows], batch_first=True)
    most = LARGE if features > 8 else ANY_PEER
    return Case(
        f"pad_sequence: 64 x {features} features", False, samples, peer, bw.Collate(frames=bw.ragged(pad=0.0)), most
    )


def hugging_face_padding(as_lists: bool) -> Case:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"[PAD]": 0}, "[PAD]")), pad_token="[PAD]")
    kind = list if as_lists else torch.tensor
    samples = [{"input_ids": kind(range(length))} for length in lengths(512)]
    collate = bw.Collate(input_ids=bw.ragged(pad=0, multiple=8, also={"attention_mask": "mask"}))
    ours = lambda rows: dict(**collate(rows))  # the mask is made when it is asked for
    name = f"transformers DataCollatorWithPadding: 512 {'lists' if as_lists else 'tensors'}"
    peer = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
    return Case(name, True, samples, peer, ours)


def hugging_face_flattening(as_lists: bool) -> Case:
    from transformers import DataCollatorWithFlattening

    kind = list if as_lists else torch.tensor
    samples = [{"input_ids": kind(range(n)), "labels": kind(range(n))} for n in lengths(512)]
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    collate = declared.packs(seams=["labels"], also=bw.attention.HUGGING_FACE)
    ours = lambda rows: dict(**collate(rows))
    name = f"transformers DataCollatorWithFlattening: 512 {'lists' if as_lists else 'tensors'}"
    return Case(name, True, samples, DataCollatorWithFlattening(return_flash_attn_kwargs=True), ours)


def geometric_graphs() -> Case:
    from torch_geometric.data import Batch, Data

    draw = random.Random(0)
    graphs = []
    for _ in range(256):
        nodes, edges = draw.randint(10, 40), draw.randint(20, 120)
        graphs.append(
            {
                "x": torch.rand(nodes, 16),
                "edge_index": torch.randint(nodes, (2, edges)),
                "edge_attr": torch.rand(edges, 4),
                "edge_type": torch.randint(5, (edges,)),
                "pos": torch.rand(nodes, 3),
                "z": torch.randint(10, (nodes,)),
                "charge": torch.rand(nodes),
                "face": torch.randint(nodes, (3, nodes)),
                "y": torch.rand(1, 8),
                "energy": torch.rand(1),
            }
        )
    data = [Data(**graph) for graph in graphs]
    also = {"batch": "segments", "ptr": "offsets"}
    collate = bw.Collate(
        x=bw.ragged(also=also),
        edge_index=bw.ragged(dim=-1, shift_by="x"),
        face=bw.ragged(dim=-1, shift_by="x"),
        **{name: bw.ragged() for name in ("edge_attr", "edge_type", "pos", "z", "charge", "y", "energy")},
    )
    ours = lambda rows: dict(**collate(rows))
    return Case("torch_geometric Batch.from_data_list: 256 graphs of 10 fields", True, data, Batch.from_data_list, ours)


def cases() -> Iterator[Case]:
    """One by one: what a case imports must not be there before it, as collating looks for it."""
    yield default_collate_images()
    for declared in (True, False):
        for count in (8, 32, 128, 512):
            yield default_collate_rows(count, declared=declared)
    yield from map(default_collate_tuples, (8, 32, 128))
    yield from map(pad_sequence_alone, (8, 32, 512))
    yield from map(pad_sequence_and_lengths, (8, 32, 128))
    yield from map(pad_sequence_wide, (4, 80))
    for as_lists in (True, False):
        yield hugging_face_padding(as_lists)
        yield hugging_face_flattening(as_lists)
    yield geometric_graphs()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a part of the names of the cases that are run")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    limits = Limits()
    for case in cases():
        if only not in case.name:
            continue
        ours, peer, ratio = paired(
            partial(case.ours, case.samples), partial(case.peer, case.samples), seconds=SECONDS_A_CASE
        )
        print(
            f"{case.name}: {1e6 * peer:.0f} us, ours {1e6 * ours:.0f} us, "
            f"the middle half of the rounds from {ratio.low:.3f} to {ratio.high:.3f} of it"
        )
        if case.loops:
            limits.at_least(f"{case.name} / ours", 1 / ratio.middle, LOOPING_PEER)
        else:
            limits.at_most(f"ours / {case.name}", ratio.middle, case.most)
    limits.end()


if __name__ == "__main__":
    main()
