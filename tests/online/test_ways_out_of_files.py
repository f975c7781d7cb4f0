"""Refusals of readers of files, of shards of one group, and of states of several readers; ways out are followed and work."""

from __future__ import annotations

import functools
import gc
import gzip
import json
import pathlib
import sys
import tempfile
import warnings
from itertools import islice

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import webdataset

import batchwright as bw
from batchwright import Infeasible, online

from ..refusals import cases, told_and_followed
from .small import NUMBERS, Plain, balance, mix, one, pack

pytestmark = pytest.mark.filterwarnings(
    "ignore::batchwright.PoorWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",  # webdataset leaves its files open
    "ignore:unclosed file:ResourceWarning",
)

ROWS = [{"id": n, "label": n % 2} for n in range(40)]


@pytest.fixture(autouse=True, scope="module")
def collected():
    """What webdataset leaves open is closed here, not in the tests of another file, where that would be an error."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@functools.cache
def folder():
    made = pathlib.Path(tempfile.mkdtemp())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), made / "a.parquet")
    (made / "a.jsonl").write_text('{"id": 1}\n')
    (made / "bad.parquet").write_bytes(b"PAR1 and no more of it PAR1")
    (made / "bad.arrow").write_bytes(b"ARROW1 and no more of it")
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.OSFile(str(made / "a.arrow"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with webdataset.TarWriter(str(made / "a.tar")) as tar:
        tar.write({"__key__": "0", "cls": 3})
    return made


def written_again():
    path = pathlib.Path(tempfile.mkdtemp()) / "x.jsonl"
    path.write_text("1111\n")
    source = online.jsonl(path)
    path.write_text("1111\n2222\n")
    return source


def first(source):
    assert next(iter(source.open(0)))


def without(library, call):
    """A call where a library is not installed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, library, None)
        call()


def side_by_side(groups=("a", "b"), **more):
    source = online.Sharded([0, 1], lambda shard: [("ab"[shard], n) for n in range(30)], groups=groups)
    return online.balanced(source, **{"key": 0, "batch_size": 6} | more)


def packed_lines():
    path = folder() / "b.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in ROWS)
    return path


def unpacked(path):
    with gzip.open(path) as lines:
        yield from map(json.loads, lines)


def unseen(**more):
    made = pathlib.Path(tempfile.mkdtemp())
    for kind in "ab":
        lines = [json.dumps({"kind": "c" if (kind, n) == ("b", 4) else kind}) for n in range(60)]
        (made / f"{kind}.jsonl").write_text("\n".join(lines))
    source = online.jsonl(made, **more)
    return online.balanced(source, key="kind", batch_size=6, buffer=60, when_short="redistribute")


def read(stream):
    assert list(islice(stream, 40))


def splitting():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return webdataset.WebDataset(str(folder() / "a.tar"), shardshuffle=False)


def deep():
    found = []
    found.append(found)
    return found


def states(make=pack, readers=2, batches=2):
    found = []
    for rank in range(readers):
        stream = make(rank=rank, world_size=readers)
        list(islice(stream, batches))
        found.append(stream.state_dict())
    return found


def of_workers(make=pack):
    loader = make().loader(num_workers=2)
    list(islice(loader, 2))
    return loader.state_dict()


def read_on(stream, state):
    loader = stream.loader(num_workers=2)
    loader.load_state_dict(state)
    read(loader)


def load(state, make=pack, **more):
    stream = make(**more)
    stream.load_state_dict(state)
    read(stream)


def counted(loader):
    next(iter(loader))
    assert loader.report().delivered


def own(**more):
    return pack(online.SelfSplit(Plain()), **more)


def hugging_face(**more):
    return pack(online.huggingface(datasets.Dataset.from_list(ROWS)), **more)


def next_epoch():
    stream = pack(rank=1, world_size=2)
    stream.set_epoch(3)
    next(iter(stream))
    return stream.state_dict()


def memory_changed():
    state = states()[0]
    return {**state, "run": {**state["run"], "anchor": state["run"]["anchor"][:-1] + " "}}


FILES = cases("refuse message follow", {
    "no library": (lambda: without("webdataset", lambda: online.tar(folder() / "a.tar")),
                   "this source needs webdataset, which is not installed; run pip install webdataset",
                   lambda: first(online.tar(folder() / "a.tar"))),
    "no files": (lambda: online.parquet([]), "source 'parquet' has 0 files; pass at least one path",
                 lambda: first(online.parquet([folder() / "a.parquet"]))),
    "no paths": (lambda: online.parquet(7), "the files of source 'parquet' are of type int; pass a path, a pattern",
                 lambda: first(online.parquet(str(folder() / "a.par*")))),
    "another kind": (lambda: online.tar(folder() / "a.parquet"), "and source 'tar' reads 'tar'; pass it to online.parquet",
                     lambda: first(online.parquet(folder() / "a.parquet"))),
    "twice": (lambda: online.jsonl([folder() / "a.jsonl"] * 2), "is named twice in source 'jsonl'; name every file once",
              lambda: first(online.jsonl([folder() / "a.jsonl"]))),
    "no name of a column": (lambda: online.parquet(folder() / "a.parquet", columns=[None]),
                            "has no column None, it has id, label; pass one of these names",
                            lambda: first(online.parquet(folder() / "a.parquet", columns=["label"]))),
    "a text for columns": (
        lambda: online.parquet(folder() / "a.parquet", columns="label"), "columns is the text 'label'; pass a list of na",
        lambda: first(online.parquet(folder() / "a.parquet", columns=["label"]))),
    "no column": (lambda: online.parquet(folder() / "a.parquet", columns=["lable"]),
                  "has no column 'lable', it has id, label; pass one of these names (did you mean 'label'?)",
                  lambda: first(online.parquet(folder() / "a.parquet", columns=["label"]))),
    "damaged": (lambda: online.parquet(folder() / "bad.parquet"), "bad.parquet' cannot be read: ",
                lambda: first(online.parquet(folder() / "a.parquet"))),
    "damaged arrow": (lambda: online.arrow(folder() / "bad.arrow"), "bad.arrow' cannot be read: ",
                      lambda: first(online.arrow(folder() / "a.arrow"))),
    "no dataset": (lambda: online.huggingface(ROWS), "the dataset is of type list; pass a datasets.Dataset or",
                   lambda: first(online.huggingface(datasets.Dataset.from_list(ROWS)))),
    "groups of shards": (lambda: side_by_side(["a"]), "has 2 shards and 1 groups; pass the group of each shard",
                         lambda: read(side_by_side())),
    "units of shards of one group": (
        lambda: side_by_side(unit=one), "says the groups of its shards, and unit is given: where shards are of one group ",
        lambda: (read(side_by_side()), read(side_by_side(groups=None, unit=one)))),
    "a group not found": (lambda: read(unseen()), "its key is 'c', and no sample that was looked at is of this group",
                                lambda: read(unseen(groups=None))),
    "compressed": (lambda: online.jsonl(folder() / "*.jsonl.gz"), "is compressed, and can be read from its beginning only",
                   lambda: read(pack(online.Sharded([packed_lines()], unpacked)))),
    "groups of files": (lambda: online.jsonl(folder() / "a.jsonl", groups=["a", "b"]), "has 1 files and 2 groups; pass th",
                        lambda: online.jsonl(folder() / "a.jsonl", groups=["a"])),
    "a missing group": (lambda: side_by_side(groups=["a", None]), "'shards': groups names None, and a missing label",
                        lambda: read(side_by_side(groups=["a", "b"]))),
    "a group without a share": (lambda: read(side_by_side(target={"a": 1})), "group 'b' is not among the 1 groups",
                                lambda: read(side_by_side(target={"a": 1, "b": 0}))),
    "a share without a shard": (
        lambda: read(side_by_side(target={"a": 0.5, "b": 0.25, "c": 0.25})), "'c' was given 25.00% of every batch and no",
        lambda: read(side_by_side(target={"a": 0.5, "b": 0.5}))),
    "sizes of groups": (lambda: read(side_by_side(target="natural")), "the sizes of the groups of shards are not known; ",
                        lambda: (read(side_by_side(target="natural", natural={"a": 0.5, "b": 0.5})),
                                 read(side_by_side(target={"a": 0.5, "b": 0.5})))),
    "other ranks": (
        lambda: read(pack(splitting(), rank=1, world_size=2)), "splits itself and finds rank 0 of 1, and the stream has ",
        lambda: read(pack(splitting()))),
    "a file that was written again": (
        lambda: read(pack(written_again())), "x.jsonl' has 10 bytes, and had 5 when its reader was made; make the reader",
        lambda: read(pack(online.jsonl(written_again().shards[0][0].path)))),
    "an audit of an iterator": (lambda: pack(iter(NUMBERS)).audit(), "is an iterator, which can be read once: an audit, whi",
                                lambda: pack(NUMBERS).audit()),
})  # fmt: skip

STATES = cases("refuse message follow", {
    "splits itself": (
        lambda: load(states(own), own), "source 'source' splits itself: what is left of it to 2 readers cannot be dealt ",
        lambda: (load(states(own), own, rank=1, world_size=2), load(states(hugging_face), hugging_face))),
    "splits itself over other ranks": (
        lambda: load(of_workers(own), own, rank=1, world_size=2), "left of it to 2 readers cannot be dealt to 2 others; ",
        lambda: (read_on(own(), of_workers(own)), load(of_workers(hugging_face), hugging_face, rank=1, world_size=2))),
    "no states": (lambda: load([]), "there are 0 states; load the state of every reader", lambda: load(states())),
    "states without end": (lambda: online.merged(deep()), "the states are in lists that are nested more than 4 times; pass",
                           lambda: load(online.merged(states()))),
    "too many states": (lambda: online.merged(range(2**63)), "states has 9223372036854775807 items; pass states of at most",
                        lambda: load(online.merged(states()))),
    "no entries": (lambda: load({"version": 6}), "the state has no arguments, contents, epoch, replica, run, next, check",
                   lambda: load(states())),
    "of a plan": (lambda: load(bw.shuffled(40, 4).sampler().state_dict()), "the state is of a plan; load it into the plan",
                  lambda: bw.shuffled(40, 4).sampler().load_state_dict(bw.shuffled(40, 4).sampler().state_dict())),
    "some are missing": (
        lambda: load(states()[:1]),
        "the state is of reader 0 of 2 and this is reader 0 of 1; the states of readers 1 are missing; load the states of ",
        lambda: load(states())),
    "some of other ranks are missing": (
        lambda: load(of_workers()["readers"][1], rank=1, world_size=2),
        "is of reader 1 of 2 at world size 1 and this is reader 1 of 2 at world size 2; the states of readers 0 are missing",
        lambda: load(of_workers(), rank=1, world_size=2)),
    "some are not merged": (
        lambda: online.merged(states(readers=3)[1:]),
        "2 states are not those of all 3 readers: those of readers 0 are missing; merge",
        lambda: load(online.merged(states(readers=3)))),
    "twice": (lambda: online.merged(states()[:1] * 2), "the state of a reader is named twice among 2; load the state of ",
              lambda: load(online.merged(states()))),
    "of several epochs": (lambda: load([states()[0], next_epoch()]), "the states are of epochs 0, 3; load states that all",
                          lambda: load(states())),
    "of several runs": (lambda: load([states()[0], states(readers=3)[1]]), "the states are of 2, 3 readers; load states",
                        lambda: load(states(readers=3))),
    "of other ranks": (lambda: load([states()[0], of_workers()["readers"][1]]), "the states are of 1, 2 ranks; load states",
                       lambda: load(of_workers())),
    "memory that was changed": (lambda: load(memory_changed()), "of memory in the state are not those that were saved; load",
                                lambda: load(states())),
    "counts of no batch": (lambda: pack().loader().report(), "no batch of this loader has reached the loop yet; ask after",
                           lambda: counted(pack().loader())),
    "an option": (lambda: pack().loader(batch_size=4), "batch_size was given to stream.loader, but the stream decides it",
                  lambda: read(pack().loader())),
    "another option": (lambda: pack().loader(collate_fn=list), "collate_fn was given to stream.loader, which takes collate",
                       lambda: read(pack().loader(collate=list))),
    "samples": (lambda: balance(batches=False).loader(), "gives samples, and a loader of a stream gives its batches; mak",
                lambda: read(balance().loader())),
    "samples of a mixture": (lambda: mix(batch_size=None).loader(), "stream 'mixture' gives samples",
                             lambda: read(mix().loader())),
})  # fmt: skip


@pytest.mark.parametrize("case", sorted(FILES))
def test_a_refusal_of_files_has_a_way_out_that_works(case):
    told_and_followed(FILES[case], longest=900)


@pytest.mark.parametrize("case", sorted(STATES))
def test_a_refusal_of_states_has_a_way_out_that_works(case):
    told_and_followed(STATES[case], longest=900)


def test_ranks_that_both_find_alike_are_the_way_out_of_other_ranks(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = webdataset.WebDataset(
            [str(folder() / "a.tar")] * 2, shardshuffle=False, nodesplitter=webdataset.split_by_node
        )
    stream = online.packed(source, length=one, capacity=2, rank=1, world_size=2)
    assert len(list(stream)) == 1
    assert Infeasible
