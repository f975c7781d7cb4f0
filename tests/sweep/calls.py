"""For every public function and method that takes arguments a call that works, which the sweep changes in one argument."""

from __future__ import annotations

import inspect
import io
import itertools
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import torch

import batchwright as bw
from batchwright.correct import LogitAdjustment, LossScale, Means, Weighted, Weights
from batchwright.online import Chain, SelfSplit, Shards, Strided
from batchwright.targets import Active, Compensating, Filler, Fixed

from ..test_public import FUNCTIONS

LABELS = ["a"] * 6 + ["b"] * 4
LENGTHS = [3, 5, 2, 8, 1, 4]
SAMPLES = [{"x": torch.ones(2)}, {"x": torch.ones(3)}]
LINES = [Fixed("a", 4), Active("b", 3, target_strength=0.5, strength=0.25), Filler("c", 8)]


class Call(NamedTuple):
    """A public function, and by name the arguments that it needs."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


def call(function: Callable[..., Any], **arguments: Any) -> Call:
    return Call(function, arguments)


@cache
def plan() -> Any:
    return bw.balanced(LABELS, 2)


def moving() -> Any:
    return bw.balanced(LABELS, 2, target=bw.targets.moving("uniform", floor=0.1))


def by_length() -> Any:
    return bw.budgeted(LENGTHS, 9)


def packs() -> Any:
    return bw.packed([3, 5], 4, too_long="split")


def tasks() -> Any:
    return bw.alternating({"t": plan()})


def buckets() -> Any:
    return bw.bucketed([(height, 4) for height in LENGTHS], 2)


def hybrid() -> Any:
    return bw.hybrid(LENGTHS, ranks=2, tokens_per_rank=9)


def evaluation() -> Any:
    return bw.evaluation(5, 2)


def sampler(given_out: bool = False) -> Any:
    made = plan().sampler(rank=0, world_size=1)
    if given_out:
        list(made)
    return made


def loader() -> Any:
    return plan().loader(range(10), num_workers=0)


def batch() -> Any:
    return bw.Collate(x=bw.ragged())(SAMPLES)


def ragged() -> Any:
    return bw.Ragged.from_list([torch.ones(2), torch.ones(3)])


def groups() -> Any:
    return bw.Groups.from_labels(LABELS)


def layout() -> Any:
    return bw.Layout([1, 2])


def split() -> Any:
    return bw.split(LABELS, {"train": 0.5, "test": 0.5})


def norm() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.BatchNorm1d(1))


def stream() -> Any:
    return bw.online.balanced(range(9), key=bool, batch_size=2)


def feedback() -> Any:
    return bw.feedback.Feedback(moving().sampler(), bw.feedback.by_signal())


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@cache
def table() -> Path:
    path = folder() / "animals.csv"
    path.write_text("kind\ncat\ndog\n")
    return path


@cache
def index() -> Any:
    return bw.index(table(), label="kind", path=folder() / "known.index")


@cache
def data_file(name: str) -> Path:
    """A file of three rows, of the kind that its name tells."""
    path, rows = folder() / name, pyarrow.table({"id": [0, 1, 2]})
    if path.suffix == ".arrow":
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(rows, path)
    elif path.suffix == ".jsonl":
        path.write_text('{"id": 0}\n{"id": 1}\n')
    else:
        with tarfile.open(path, "w") as tar:
            for number in range(3):
                member = tarfile.TarInfo(f"{number}.cls")
                member.size = 1
                tar.addfile(member, io.BytesIO(b"1"))
    return path


def hugging_face() -> Any:
    return datasets.Dataset.from_dict({"id": [0, 1, 2]})


NUMBER = itertools.count()


def new_path() -> Path:
    return folder() / f"{next(NUMBER)}.index"


def scores() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.zeros(2, 1), torch.tensor([0, 1]))] * 2


def evaluated() -> Call:
    model = torch.nn.Linear(1, 2)
    return call(bw.correct.evaluate, model=model, loader=scores(), plan=plan())


def averaged() -> Means:
    means = Means(evaluation().sampler())
    means.add(0, loss=torch.zeros(2))
    return means


def two() -> list[torch.Tensor]:
    return [torch.zeros(2, 1)]


def made_as(attribute: str, of: Callable[[], Any], **arguments: Any) -> Callable[[], Call]:
    """The method of this name of an object that is made for each call."""
    return lambda: call(getattr(of(), attribute), **arguments)


CALLS: dict[str, Callable[[], Call]] = {
    "bw.Batch.__init__": partial(call, bw.Batch, root={"x": torch.ones(2)}),
    "bw.Batch.scaled": made_as("scaled", batch, loss_scale=1.0),
    "bw.Batch.sorted_by": made_as("sorted_by", batch, name="x"),
    "bw.Batch.select": made_as("select", batch, numbers=[0]),
    "bw.Batch.restore": made_as("restore", lambda: batch().sorted_by("x"), outputs=torch.zeros(2)),
    "bw.Batch.to": made_as("to", batch, device="cpu"),
    "bw.BatchSampler.__init__": lambda: call(bw.BatchSampler, plan=plan(), rank=0, world_size=1),
    "bw.BatchSampler.set_epoch": made_as("set_epoch", sampler, epoch=0),
    "bw.BatchSampler.seek": made_as("seek", sampler, batches=1, epoch=0),
    "bw.BatchSampler.state_at": made_as("state_at", sampler, batches=1, epoch=0),
    "bw.BatchSampler.all_ranks": made_as("all_ranks", sampler, number=0, epoch=0),
    "bw.BatchSampler.real": made_as("real", sampler, number=0, epoch=0),
    "bw.BatchSampler.real_of_all": made_as("real_of_all", sampler, number=0, epoch=0),
    "bw.BatchSampler.started_at": made_as("started_at", sampler, epoch=0),
    "bw.BatchSampler.load_state_dict": made_as("load_state_dict", sampler, state={}),
    "bw.BatchSampler.audit": made_as("audit", sampler),
    "bw.BatchSampler.retarget": made_as("retarget", lambda: moving().sampler(), shares=[0.5, 0.5]),
    "bw.Collate.with_plan": lambda: call(bw.Collate().with_plan, plan=plan()),
    "bw.Collate.packs": lambda: call(bw.Collate(x=bw.ragged()).packs, capacity=9),
    "bw.Column.__init__": lambda: call(bw.Column, path=table(), name="kind"),
    "bw.Column.names": lambda: call(bw.Column.names, path=table()),
    "bw.Composition.__init__": lambda: call(bw.Composition, sampler=sampler()),
    "bw.Composition.after": lambda: call(
        bw.Composition(sampler()).after, step=1, log=lambda values, step: None, epoch=0
    ),
    "bw.Composition.measured": lambda: call(bw.Composition(sampler()).measured, first=0, last=2, epoch=0),
    "bw.Geometry.__init__": lambda: call(bw.Geometry, micro_batch=2),
    "bw.Geometry.sampler": lambda: call(bw.Geometry(micro_batch=2).sampler, plan=plan(), rank=0),
    "bw.Groups.from_labels": lambda: call(bw.Groups.from_labels, labels=LABELS),
    "bw.Groups.from_keys": lambda: call(bw.Groups.from_keys, keys=LABELS, called="keys"),
    "bw.Groups.from_sizes": lambda: call(bw.Groups.from_sizes, sizes={"a": 2}),
    "bw.Groups.from_indices": lambda: call(bw.Groups.from_indices, indices=[[0], [1]]),
    "bw.Groups.singletons": lambda: call(bw.Groups.singletons, sample_count=3),
    "bw.Groups.combine": lambda: call(bw.Groups.combine, columns_or_groups=LABELS),
    "bw.Groups.group_of": made_as("group_of", groups, indices=[0]),
    "bw.Groups.locate": made_as("locate", groups, indices=[0]),
    "bw.Groups.numbers_of": made_as("numbers_of", groups, labels=["a"]),
    "bw.Groups.label": made_as("label", groups, name="a"),
    "bw.Groups.samples": made_as("samples", groups, name="a"),
    "bw.Index.open": lambda: call(bw.Index.open, path=index().path),
    "bw.Index.column": made_as("column", index, name="kind"),
    "bw.Index.groups": made_as("groups", index, names="kind"),
    "bw.Index.where": made_as("where", index, samples=[0]),
    "bw.Layout.__init__": lambda: call(bw.Layout, counts=[1, 2]),
    "bw.Layout.on": made_as("on", layout, device="cpu"),
    "bw.Layout.select": made_as("select", layout, numbers=[0]),
    "bw.Layout.shard": made_as("shard", layout, rank=0, size=1),
    "bw.Layout.unshard": made_as("unshard", layout, size=1),
    "bw.Layout.repeated": made_as("repeated", layout, values=[1, 2]),
    "bw.Layout.mask": made_as("mask", layout, length=3),
    "bw.Layout.packed_to_padded": made_as("packed_to_padded", layout, length=3),
    "bw.Layout.padded_to_packed": made_as("padded_to_packed", layout, length=3),
    "bw.Loader.__init__": lambda: call(bw.Loader, sampler=sampler(), dataset=range(10), num_workers=0),
    "bw.Loader.epochs": made_as("epochs", loader, until=1),
    "bw.Loader.set_epoch": made_as("set_epoch", loader, epoch=0),
    "bw.Loader.seek": made_as("seek", loader, batches=1, epoch=0),
    "bw.Loader.retarget": made_as("retarget", lambda: moving().loader(range(10), num_workers=0), shares=[0.5, 0.5]),
    "bw.Loader.state_at": made_as("state_at", loader, batches=1, epoch=0),
    "bw.Loader.load_state_dict": made_as("load_state_dict", loader, state={}),
    "bw.Padding.__init__": lambda: call(bw.Padding),
    "bw.Plan.table": lambda: call(plan().table),
    "bw.Plan.report": lambda: call(plan().report, path=None),
    "bw.Plan.at": lambda: call(plan().at, step=0),
    "bw.Plan.check": lambda: call(plan().check, model=norm()),
    "bw.Plan.sampler": lambda: call(plan().sampler, rank=0, world_size=1),
    "bw.Plan.loader": lambda: call(plan().loader, dataset=range(10), num_workers=0, rank=0, world_size=1),
    "bw.Ragged.from_list": lambda: call(bw.Ragged.from_list, pieces=[torch.ones(2), torch.ones(3)]),
    "bw.Ragged.from_packed": lambda: call(bw.Ragged.from_packed, values=torch.ones(5), lengths=[2, 3]),
    "bw.Ragged.from_padded": lambda: call(bw.Ragged.from_padded, values=torch.ones(2, 3), lengths=[2, 3]),
    "bw.Ragged.from_jagged": lambda: call(bw.Ragged.from_jagged, nested=ragged().jagged),
    "bw.Ragged.sample": made_as("sample", ragged, number=0),
    "bw.Ragged.select": made_as("select", ragged, numbers=[0]),
    "bw.SharedList.__init__": lambda: call(bw.SharedList, items=["a", "b"]),
    "bw.Split.subset": made_as("subset", split, dataset=range(10), part="train"),
    "bw.Split.labels": made_as("labels", split, part="train"),
    "bw.alternating": lambda: call(bw.alternating, tasks={"t": plan()}),
    "bw.balanced": lambda: call(bw.balanced, labels=LABELS, batch_size=2),
    "bw.bucketed": lambda: call(bw.bucketed, shapes=[(height, 4) for height in LENGTHS], batch_size=2),
    "bw.budgeted": lambda: call(bw.budgeted, lengths=LENGTHS, max_tokens=9),
    "bw.check_ranks": lambda: call(bw.check_ranks, loader=sampler()),
    "bw.evaluation": lambda: call(bw.evaluation, samples=LENGTHS, max_tokens=9),
    "bw.from_recipe": lambda: call(bw.from_recipe, recipe=plan().to_recipe()),
    "bw.grouped": lambda: call(bw.grouped, lengths=LENGTHS, batch_size=2),
    "bw.hierarchical": lambda: call(bw.hierarchical, levels=[LABELS], per=[1, 1]),
    "bw.hybrid": lambda: call(bw.hybrid, lengths=LENGTHS, ranks=2, tokens_per_rank=9),
    "bw.identified": lambda: call(bw.identified, dataset=[{"x": 1.0}, {"x": 2.0}]),
    "bw.index": lambda: call(bw.index, source=table(), path=new_path(), label="kind"),
    "bw.media": lambda: call(bw.media),
    "bw.mixed": lambda: call(bw.mixed, sources={"s": 9, "t": 9}, batch_size=2),
    "bw.multilabel": lambda: call(bw.multilabel, labels=[["a"], ["a", "b"], []] * 5, batch_size=2, target="natural"),
    "bw.multilabel_weights": lambda: call(bw.multilabel_weights, labels=[["a"], ["a", "b"]] * 5, target="natural"),
    "bw.ordered": lambda: call(bw.ordered, indices=[0, 2, 1], batch_size=2),
    "bw.packed": lambda: call(bw.packed, lengths=LENGTHS, capacity=9),
    "bw.partition": lambda: call(bw.partition, costs=[3, 1, 2], parts=2),
    "bw.ragged": lambda: call(bw.ragged),
    "bw.raked": lambda: call(bw.raked, attributes={"s": LABELS}, margins={"s": "uniform"}, batch_size=2),
    "bw.resized": lambda: call(bw.resized, size=(4, 4)),
    "bw.rotating": lambda: call(bw.rotating, labels=LABELS, cohorts=[["a"], ["b"]], per_class=1),
    "bw.sequential": lambda: call(bw.sequential, samples=9, batch_size=2),
    "bw.shuffled": lambda: call(bw.shuffled, samples=9, batch_size=2),
    "bw.split": lambda: call(bw.split, labels=LABELS, fractions={"train": 0.5, "test": 0.5}),
    "bw.weighted": lambda: call(bw.weighted, weights=[1, 2, 3], batch_size=2),
    "bw.attention.check": lambda: call(
        bw.attention.check, model=torch.nn.Linear(1, 1), packs=bw.Collate(x=bw.ragged()).packs(), samples=SAMPLES
    ),
    "bw.attention.keywords": lambda: call(bw.attention.keywords, layout=layout()),
    "bw.attention.mask": lambda: call(bw.attention.mask, segments=torch.tensor([0, 0, 1])),
    "bw.attention.block_mask": lambda: call(bw.attention.block_mask, segments=torch.tensor([[0, 0, 1]])),
    "bw.attention.jagged": lambda: call(bw.attention.jagged, layout=layout(), projections=torch.ones(3, 2, 8)),
    "bw.attention.values": lambda: call(
        bw.attention.values, nested=bw.attention.jagged(layout(), torch.ones(3, 2, 8))[0]
    ),
    "bw.correct.LogitAdjustment.__init__": lambda: call(LogitAdjustment, trained=[0.5, 0.5], deploy="uniform"),
    "bw.correct.LogitAdjustment.from_plan": lambda: call(LogitAdjustment.from_plan, plan=plan()),
    "bw.correct.LogitAdjustment.from_sampler": lambda: call(LogitAdjustment.from_sampler, sampler=sampler(True)),
    "bw.correct.LogitAdjustment.forward": lambda: call(
        LogitAdjustment([0.5, 0.5], "uniform").forward, logits=torch.zeros(1, 2)
    ),
    "bw.correct.LossScale.__init__": lambda: call(LossScale, sampler=sampler()),
    "bw.correct.LossScale.at": lambda: call(LossScale(sampler()).at, step=0),
    "bw.correct.LossScale.over": lambda: call(LossScale(sampler()).over, loader=[1, 2]),
    "bw.correct.Means.__init__": lambda: call(Means, sampler=evaluation().sampler()),
    "bw.correct.Means.add": lambda: call(Means(evaluation().sampler()).add, step=0, values=torch.zeros(2)),
    "bw.correct.Means.result": lambda: call(averaged().result),
    "bw.correct.Weighted.__init__": lambda: call(Weighted, dataset=range(10), weights=Weights(plan())),
    "bw.correct.Weights.__init__": lambda: call(Weights, plan=plan()),
    "bw.correct.Weights.report": lambda: call(Weights(plan(), clip=1.5).report),
    "bw.correct.check": lambda: call(bw.correct.check, plan=plan(), model=norm()),
    "bw.correct.evaluate": evaluated,
    "bw.correct.frozen": lambda: call(bw.correct.frozen, model=norm()),
    "bw.correct.loss_scale": lambda: call(bw.correct.loss_scale, count=8),
    "bw.correct.per_group": lambda: call(bw.correct.per_group, model=norm(), groups=["a", "b"]),
    "bw.correct.recalibrate": lambda: call(bw.correct.recalibrate, model=norm(), loader=two()),
    "bw.correct.report": lambda: call(bw.correct.report, model=norm(), loader_a=two(), loader_b=two()),
    "bw.correct.synchronised": lambda: call(bw.correct.synchronised, model=norm()),
    "bw.correct.without_running_stats": lambda: call(bw.correct.without_running_stats, model=norm()),
    "bw.costs.Cost.__init__": lambda: call(bw.costs.Cost, per_token=1, per_pair=1),
    "bw.costs.linear": lambda: call(bw.costs.linear),
    "bw.costs.quadratic": lambda: call(bw.costs.quadratic, per_token=1.0, per_square=1.0),
    "bw.costs.transformer": lambda: call(
        bw.costs.transformer, layers=2, hidden=8, heads=2, intermediate=8, vocabulary=9
    ),
    "bw.feedback.Feedback.__init__": lambda: call(
        bw.feedback.Feedback, sampler=moving().sampler(), rule=bw.feedback.by_signal()
    ),
    "bw.feedback.Feedback.observe": made_as("observe", feedback, values=[1.0], labels=["a"]),
    "bw.feedback.Feedback.load_state_dict": made_as("load_state_dict", feedback, state=feedback().state_dict()),
    "bw.feedback.by_signal.__init__": lambda: call(bw.feedback.by_signal),
    "bw.online.Chain.__init__": lambda: call(Chain, sources=[[1], [2]]),
    "bw.online.SelfSplit.__init__": lambda: call(SelfSplit, source=[1, 2]),
    "bw.online.Strided.__init__": lambda: call(Strided, source=[1, 2]),
    "bw.online.Shards.__init__": lambda: call(Shards, shards=[0, 10], read=range),
    "bw.online.Stream.set_epoch": made_as("set_epoch", stream, epoch=0),
    "bw.online.Stream.load_state_dict": made_as("load_state_dict", stream, state={}),
    "bw.Shards.of": lambda: call(bw.Shards([3, 2]).of, samples=[0, 2, 3]),
    "bw.Shards.__init__": lambda: call(bw.Shards, sizes=[3, 2]),
    "bw.online.Shards.grouped": lambda: call(Shards([0, 10], range).grouped, key=[0, 1]),
    "bw.online.Stream.audit": made_as("audit", stream, batches=2),
    "bw.online.Stream.loader": made_as("loader", stream),
    "bw.online.arrow": lambda: call(bw.online.arrow, files=data_file("rows.arrow")),
    "bw.online.huggingface": lambda: call(bw.online.huggingface, dataset=hugging_face()),
    "bw.online.jsonl": lambda: call(bw.online.jsonl, files=data_file("rows.jsonl")),
    "bw.online.parquet": lambda: call(bw.online.parquet, files=data_file("rows.parquet")),
    "bw.online.tar": lambda: call(bw.online.tar, files=data_file("rows.tar")),
    "bw.online.merged": lambda: call(bw.online.merged, states=[stream().state_dict()]),
    "bw.online.balanced": lambda: call(bw.online.balanced, source=range(9), key=bool, batch_size=2),
    "bw.online.budgeted": lambda: call(bw.online.budgeted, source=["a"], length=len, max_tokens=9),
    "bw.online.equal_stop": lambda: call(bw.online.equal_stop, loader=[1, 2]),
    "bw.online.mixed": lambda: call(bw.online.mixed, sources={"s": range(9)}, target="uniform", batch_size=2),
    "bw.online.packed": lambda: call(bw.online.packed, source=["a"], length=len, capacity=9),
    "bw.targets.Active.__init__": lambda: call(Active, name="a", estimated=4, target_strength=0.5, strength=0.25),
    "bw.targets.Compensating.__init__": lambda: call(Compensating, name="a", estimated=4, factor=1.1),
    "bw.targets.Filler.__init__": lambda: call(Filler, name="a"),
    "bw.targets.Fixed.__init__": lambda: call(Fixed, name="a", estimated=4),
    "bw.targets.Target.shares": lambda: call(bw.targets.power(0.5).shares, counts=[4, 1]),
    "bw.targets.Target.exact": lambda: call(bw.targets.power(1).exact, counts=[4, 1]),
    "bw.targets.Target.bound_to": lambda: call(bw.targets.power(0.5).bound_to, groups=groups()),
    "bw.targets.blend": lambda: call(bw.targets.blend, alpha=0.5),
    "bw.targets.capped": lambda: call(bw.targets.capped, max_passes=2),
    "bw.targets.effective_number": lambda: call(bw.targets.effective_number, beta=0.9),
    "bw.targets.explicit": lambda: call(bw.targets.explicit, shares={"a": 0.5, "b": 0.5}),
    "bw.targets.formula": lambda: call(bw.targets.formula, lines=LINES, size=32),
    "bw.targets.in_units": lambda: call(bw.targets.in_units, target="uniform", lengths=LENGTHS),
    "bw.targets.moving": lambda: call(bw.targets.moving, start="uniform"),
    "bw.targets.power": lambda: call(bw.targets.power, q=0.5),
    "bw.targets.quantities": lambda: call(bw.targets.quantities, lines=LINES, size=32),
    "bw.targets.repeat_factor": lambda: call(bw.targets.repeat_factor, threshold=0.1),
    "bw.targets.resolve": lambda: call(bw.targets.resolve, target="uniform"),
    "bw.targets.schedule": lambda: call(bw.targets.schedule, start="natural", end="uniform", epochs=2),
    "bw.targets.temperature": lambda: call(bw.targets.temperature, degree=2.0),
    "FixedPlan.shares": lambda: call(plan().shares, epoch=0),
    "FixedPlan.prior_between": lambda: call(plan().prior_between, start=0.0, stop=1.0, groups=groups()),
    "FixedPlan.inclusion_rates": lambda: call(plan().inclusion_rates, start=0.0, stop=1.0),
    "FixedPlan.rates": lambda: call(plan().rates, indices=[0]),
    "FixedPlan.audit": lambda: call(plan().audit, batches=20),
    "LengthPlan.cost": lambda: call(by_length().cost, batch=np.array([0])),
    "LengthPlan.draw_number": lambda: call(by_length().draw_number, batch=0),
    "LengthPlan.shares": lambda: call(by_length().shares, epoch=0),
    "LengthPlan.rates": lambda: call(by_length().rates, indices=[0]),
    "LengthPlan.summary": lambda: call(by_length().summary),
    "LengthPlan.audit": lambda: call(by_length().audit),
    "PackedPlan.packs": lambda: call(packs().packs, batch=packs()[0]),
    "PackedPlan.pieces": lambda: call(packs().pieces, dataset=[{"x": [1] * 3}, {"x": [1] * 5}], cut=["x"]),
    "TaskPlan.task_of": lambda: call(tasks().task_of, batch=0),
    "TaskPlan.shares": lambda: call(tasks().shares, epoch=0),
    "TaskPlan.audit": lambda: call(tasks().audit, batches=20),
    "HybridPlan.parts": lambda: call(hybrid().parts, step=0, rank=0),
    "HybridPlan.schedule": lambda: call(hybrid().schedule, step=0),
    "HybridPlan.samples": lambda: call(hybrid().samples, step=0),
    "HybridPlan.epoch": lambda: call(hybrid().epoch, epoch=0),
    "HybridPlan.sampler": lambda: call(hybrid().sampler, rank=0, world_size=2),
    "HybridPlan.audit": lambda: call(hybrid().audit),
    "BucketedPlan.bucket": lambda: call(buckets().bucket, batch=buckets()[0]),
    "EvaluationPlan.real": lambda: call(evaluation().real, batch=0),
    "EvaluationPlan.span": lambda: call(evaluation().span, batch=0),
    "EvaluationPlan.summary": lambda: call(evaluation().summary),
    "EvaluationPlan.audit": lambda: call(evaluation().audit),
}
"""By the name of every public function and method that takes arguments."""

CALLED: dict[str, Callable[[], Call]] = {
    "a sample of Collate": lambda: call(lambda sample: bw.Collate()([sample, sample]), sample={"x": 1}),
    "a field of Collate": lambda: call(lambda field: bw.Collate()([{"x": field}] * 2), field=1),
    "a ragged field of Collate": lambda: call(lambda field: bw.Collate(x=bw.ragged())([{"x": field}] * 2), field=[1]),
    "a scalar field of Collate": lambda: call(lambda field: bw.Collate(x=bw.scalar())([{"x": field}] * 2), field=1),
    "samples of Collate": lambda: call(lambda samples: bw.Collate()(samples), samples=[{"x": 1}]),
    "Weights": lambda: call(lambda indices: Weights(plan())(indices), indices=[0]),
    "Weights in an epoch": lambda: call(lambda epoch: Weights(plan())([0], epoch=epoch), epoch=0),
    "a micro-batch": lambda: call(lambda number: plan()[number], number=0),
    "a micro-batch by length": lambda: call(lambda number: by_length()[number], number=0),
    "a batch of evaluation": lambda: call(lambda number: evaluation()[number], number=0),
    "a shared item": lambda: call(lambda number: bw.SharedList(["a", "b"])[number], number=0),
    "a piece": lambda: call(
        lambda number: packs().pieces([{"x": [1] * 3}, {"x": [1] * 5}], cut=["x"])[number], number=0
    ),
    "a field of a batch": lambda: call(lambda name: batch()[name], name="x"),
    "a part of a split": lambda: call(lambda part: split()[part], part="train"),
}
"""What is public by a special method, such as `plan[number]`."""

FED_TO_A_MODEL = {
    *(("bw.correct.evaluate", "loader"), ("bw.correct.recalibrate", "loader"), ("bw.attention.check", "samples")),
    *(("bw.correct.report", "loader_a"), ("bw.correct.report", "loader_b")),
    *(("bw.correct.check", "example"), ("bw.Plan.check", "example")),
}
"""What the user's model is called with: what the model says to it is the user's to see."""

BY_NUMBER = {
    *(
        "a micro-batch",
        "a micro-batch by length",
        "a batch of evaluation",
        "a shared item",
        "a piece",
        "a field of a batch",
    ),
    *("a part of a split", "bw.Layout.select", "bw.Ragged.select", "bw.Ragged.sample", "bw.Batch.select"),
    *("LengthPlan.cost", "PackedPlan.packs", "BucketedPlan.bucket", "TaskPlan.task_of", "bw.Composition.measured"),
    *("EvaluationPlan.real", "EvaluationPlan.span", "bw.Batch.restore"),
}
"""What takes numbers, as brackets do: as of a list, the wrong type is a TypeError, a wrong number an IndexError."""

BY_THE_LIBRARY = {
    *(
        "bw.Column.of_index",
        "bw.Index.__init__",
        "bw.BatchSampler.batches_from",
        "bw.BatchSampler.advance",
        "bw.Loader.compare_accumulation",
        "bw.Groups.__init__",
    ),
    *(
        "bw.Infeasible.__init__",
        "bw.PoorWarning.__init__",
        "bw.Padding.extents",
        "bw.Ragged.__init__",
        "bw.Split.__init__",
    ),
    *("bw.Ragged.replaced", "bw.Ragged.transferred", "bw.online.Stream.__init__", "bw.online.StreamReport.__init__"),
    *("bw.online.Chain.reader", "bw.online.SelfSplit.reader", "bw.online.Shards.reader", "bw.online.Strided.reader"),
    *(
        "bw.online.Chain.deal",
        "bw.online.Shards.deal",
        "bw.online.Strided.deal",
        "bw.online.Stream.deal",
        "bw.online.Shards.open",
    ),
    *("bw.online.Strided.open", "bw.Shards.check_samples"),
    *("bw.online.Stream.reader", "bw.targets.Target.__init__"),
}
"""What only this library itself calls: the constructors of what it gives, and what its modules ask of each other."""

AMONG_MODULES = {
    *(
        "__init__",
        "lists",
        "stepped",
        "with_step_size_from",
        "plan_state",
        "resumed",
        "retargeted",
        "as_of",
        "check_batch",
    ),
    *(
        "share_change_after",
        "with_share_changes",
        "items",
        "with_window_starts",
        "epochs_before",
        "planned",
        "check_world",
    ),
    *("without_past", "inclusion_rates", "warning_of_run"),
}
"""Methods of plans that are the same: samplers and other modules call them, with what they have checked."""


def swept() -> dict[str, Callable[[], Call]]:
    return CALLS | CALLED


def missing() -> set[str]:
    """The public functions and methods with arguments that no call is here for."""
    known = {*CALLS, *BY_THE_LIBRARY}
    seen = {inspect.unwrap(FUNCTIONS[name]) for name in CALLS}
    return {
        name
        for name, function in FUNCTIONS.items()
        if parameters(function)
        and name not in known
        and inspect.unwrap(function) not in seen
        and not ("Plan." in name and name.rpartition(".")[2] in AMONG_MODULES)
        and not (name.startswith("EachOnce."))
    }


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(function).parameters.values()
    return [parameter for parameter in found if parameter.name not in ("self", "cls")]


def arguments() -> Iterator[tuple[str, inspect.Parameter]]:
    """Every argument that is swept: the name of its call, and its parameter."""
    for name, make in swept().items():
        for parameter in parameters(make().function):
            yield name, parameter


def run(made: Call, parameter: inspect.Parameter, value: Any) -> None:
    """Call with a value in place of one argument, and use what comes back."""
    given, several, named = {**made.arguments, parameter.name: value}, [], {}
    for one in parameters(made.function):
        if one.name not in given:
            continue
        if one.kind is one.POSITIONAL_ONLY or one.kind is one.VAR_POSITIONAL:
            several.append(given.pop(one.name))
        elif one.kind is one.VAR_KEYWORD:
            named["word"] = given.pop(one.name)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters(made.function)):  # what stands before is positional too
        before = [one.name for one in parameters(made.function) if one.kind is one.POSITIONAL_OR_KEYWORD]
        several = [given.pop(name) for name in before if name in given] + several
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        use(made.function(*several, **given, **named))


def use(got: Any) -> None:
    """What a user does next with it: a lazy refusal comes late, but comes in words too."""
    if isinstance(got, bw.Plan):
        got[0], got.summary(), got.fingerprint
    elif isinstance(got, bw.targets.Target):
        with suppress(bw.Infeasible):  # of other groups than these
            bw.balanced(LABELS, 2, target=got)[0]
    elif isinstance(got, bw.BatchSampler) or type(got).__name__ == "Loader":
        next(iter(got), None)
    elif isinstance(got, (bw.online.Stream, Chain, Shards, SelfSplit, Strided)) and hasattr(got, "__iter__"):
        list(itertools.islice(got, 3))
    elif isinstance(got, AbstractContextManager):
        with got:
            pass
    repr(got)
