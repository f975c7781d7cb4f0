"""What is passed as a source, or given to a loader, is read rightly or refused in words: never its letters or columns."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from itertools import chain, islice

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler, Subset, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright import Infeasible, PoorWarning, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata's own call
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

ROWS = [{"x": n, "label": n % 3} for n in range(60)]
FRAME = pd.DataFrame(ROWS)


def read(path):
    with open(path) as lines:
        yield from ({"x": int(line), "label": int(line) % 3} for line in lines)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "data.txt"
    file.write_text("\n".join(str(n) for n in range(60)))
    return file


def pack(source, **more):
    return online.packed(source, length=lambda sample: 1, capacity=5, buffer=20, **more)


BUILDERS = {
    "balanced": lambda source: online.balanced(source, key="label", batch_size=3, buffer=30),
    "budgeted": lambda source: online.budgeted(source, length=lambda row: 1, max_samples=4, buffer=20),
    "packed": pack,
    "mixed": lambda source: online.mixed({"it": source}, batch_size=4),
    "chain": lambda source: pack(online.Chain([source])),
}

WRAPPERS = {
    "strided": lambda source: pack(online.Strided(source)),
    "self split": lambda source: pack(online.SelfSplit(source)),
}


class MapStyle(Dataset):
    def __getitem__(self, number):
        return ROWS[number]

    def __len__(self):
        return len(ROWS)


class WithoutLength(Dataset):
    def __getitem__(self, number):
        return ROWS[number]


class Named(IterableDataset):
    """It has what a source of this library has, by chance."""

    name, reader = "mine", csv.reader

    def __iter__(self):
        return iter(ROWS)


def generate():
    yield from ROWS


class Rows:
    def __iter__(self):
        return generate()


READ = {  # what gives the rows, in whatever form
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "map-style dataset": MapStyle,
    "subset": lambda: Subset(MapStyle(), range(60)),
    "named by chance": Named,
    "iterable": Rows,
    "generator": generate,
    "map": lambda: map(dict, ROWS),
    "Hugging Face dataset": lambda: datasets.Dataset.from_list(ROWS),
    "Hugging Face stream": lambda: datasets.Dataset.from_list(ROWS).to_iterable_dataset(num_shards=2),
    "loader of samples": lambda: DataLoader(MapStyle(), batch_size=None, collate_fn=dict),
    "object array": lambda: np.array(ROWS),
    "series by another index": lambda: pd.Series(ROWS, index=range(60, 0, -1)),
    "series by names": lambda: pd.Series(ROWS, index=[f"row {n}" for n in range(60)]),
    "values of a dictionary": lambda: dict(enumerate(ROWS)).values(),
}


@pytest.mark.parametrize("builder", sorted(BUILDERS))
@pytest.mark.parametrize("kind", sorted(READ))
def test_what_holds_samples_is_read(kind, builder):
    rows = list(chain.from_iterable(BUILDERS[builder](READ[kind]())))
    assert sorted(row["x"] for row in rows) == list(range(60))


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("kind", sorted(set(READ) - {"generator", "map"}))
def test_what_holds_samples_is_read_in_a_wrapper(kind, wrapper):
    rows = list(chain.from_iterable(WRAPPERS[wrapper](READ[kind]())))
    assert sorted(row["x"] for row in rows) == list(range(60))


class Stops(MapStyle):
    def __getitem__(self, number):
        if number == 40:
            raise StopIteration
        return super().__getitem__(number)


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
def test_a_map_style_dataset_in_a_wrapper_is_read_by_number_to_its_length(wrapper):
    stream = WRAPPERS[wrapper](MapStyle())
    iterator = iter(stream)
    given = list(chain.from_iterable(islice(iterator, 5)))
    state = stream.state_dict()
    rest = WRAPPERS[wrapper](MapStyle())
    rest.load_state_dict(state)
    assert sorted(row["x"] for row in chain(given, *rest)) == list(range(60))
    with pytest.raises(RuntimeError, match="__getitem__ raised StopIteration"):
        list(WRAPPERS[wrapper](Stops()))
    source = online.Strided(MapStyle())
    parts = [online.packed(source, length=lambda row: 1, capacity=5, buffer=20, rank=r, world_size=2) for r in (0, 1)]
    assert sorted(row["x"] for part in parts for batch in part for row in batch) == list(range(60))


REFUSED = {  # what it is, what is said of it, and the way out as code
    "path as text": (lambda path: str(path), "is a str, '", lambda it: online.Sharded([it], read)),
    "path": (lambda path: path, "is a PosixPath, ", lambda it: online.Sharded([it], read)),
    "bytes": (lambda path: bytes(path), "is a bytes, b'", lambda it: online.Sharded([it], read)),
    "bytearray": (lambda path: bytearray(b"abc"), "is a bytearray", None),
    "open file": (lambda path: io.StringIO("1\n2"), "is a StringIO: an open file gives its lines", None),
    "binary file": (lambda path: io.BytesIO(b"1\n2"), "is a BytesIO: an open file", None),
    "dictionary": (lambda path: {"rows": ROWS}, "is a dict with 1 entries", lambda it: it["rows"]),
    "dictionary of rows": (lambda path: dict(enumerate(ROWS)), "is a dict with 60", lambda it: list(it.values())),
    "frame": (lambda path: FRAME, "is a DataFrame of columns", lambda it: it.to_dict("records")),
    "frame with telling columns": (
        lambda path: FRAME.assign(name="a", reader="b"),
        "is a DataFrame of columns",
        lambda it: it.to_dict("records"),
    ),
    "polars": (lambda path: pl.DataFrame(ROWS), "is a DataFrame of columns", lambda it: it.to_dicts()),
    "lazy": (lambda path: pl.LazyFrame(ROWS), "is a LazyFrame of columns, not", lambda it: it.collect().to_dicts()),
    "arrow": (lambda path: pa.Table.from_pylist(ROWS), "is a Table of columns", lambda it: it.to_pylist()),
    "arrow batch": (lambda path: pa.RecordBatch.from_pylist(ROWS), "is a RecordBatch of", lambda it: it.to_pylist()),
    "arrow reader": (
        lambda path: pa.Table.from_pylist(ROWS).to_reader(),
        "is a RecordBatchReader of tables",
        lambda it: it.read_all().to_pylist(),
    ),
    "loader": (lambda path: DataLoader(MapStyle(), batch_size=4), "is a DataLoader, which gives", lambda it: it.dataset),
    "default loader": (lambda path: DataLoader(MapStyle()), "is a DataLoader, which gives", lambda it: it.dataset),
    "stateful loader": (
        lambda path: StatefulDataLoader(MapStyle(), batch_size=4),
        "is a StatefulDataLoader, which gives batches",
        lambda it: it.dataset,
    ),
    "loader of whole batches": (
        lambda path: DataLoader(MapStyle(), batch_size=None, sampler=bw.shuffled(60, 4).sampler()),
        "is a DataLoader, which gives batches",
        lambda it: it.dataset,
    ),
    "loader of a plan": (
        lambda path: bw.shuffled(60, 4).loader(MapStyle(), num_workers=0), "is a Loader, which gives the batches of a plan",
        lambda it: it.dataset,
    ),
    "epoch of a plan's loader": (
        lambda path: next(bw.shuffled(60, 4).loader(MapStyle(), num_workers=0).epochs(1)), "is a Epoch, which gives the",
        None,
    ),
    "loop over a plan's loader": (
        lambda path: iter(bw.shuffled(60, 4).loader(MapStyle(), num_workers=0)), "is a Batches, which gives the", None
    ),
    "loader of a stream": (lambda path: pack(ROWS).loader(), "is a StreamLoader, which gives the", lambda it: ROWS),
    "epoch of a stream's loader": (
        lambda path: next(pack(ROWS).loader().epochs(1)), "is a StreamEpoch, which gives the batches of a stream", None
    ),
    "loader that stops": (
        lambda path: online.equal_stop(DataLoader(MapStyle())), "is a EqualStop", lambda it: MapStyle()
    ),
    "sampler": (lambda path: SequentialSampler(ROWS), "gives the numbers of samples", lambda it: ROWS),
    "plan": (lambda path: bw.shuffled(60, 4), "gives the numbers of samples", lambda it: ROWS),
    "plan's sampler": (lambda path: bw.shuffled(60, 4).sampler(), "gives the numbers of samples", lambda it: ROWS),
    "set": (lambda path: set(range(9)), "is a set, whose order is another in each process", None),
    "generator function": (lambda path: generate, "is a function, which is to be called", lambda it: it()),
    "class": (lambda path: MapStyle, "is the class MapStyle", lambda it: it()),
    "list class": (lambda path: list, "is the class list", lambda it: it(ROWS)),
    "None": (lambda path: None, "is None", lambda it: ROWS),
    "number": (lambda path: 7, "is a int, which cannot be iterated", lambda it: ROWS),
    "without length": (lambda path: WithoutLength(), "cannot be iterated and has no __getitem__ with", lambda it: Rows()),
    "array of one value": (lambda path: np.array(3), "is a ndarray without a length", lambda it: ROWS),
    "tensor of one value": (lambda path: torch.tensor(3), "is a Tensor without a length", lambda it: ROWS),
    "batches": (lambda path: pack(ROWS), "stream 'source' gives batches", lambda it: ROWS),
}  # fmt: skip


@pytest.mark.parametrize("builder", sorted(BUILDERS))
@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_holds_none_is_refused_when_the_stream_is_built_and_the_way_out_works(kind, builder, path):
    make, fact, way_out = REFUSED[kind]
    value = make(path)
    with pytest.raises(Infeasible) as refusal:
        BUILDERS[builder](value)
    assert fact in str(refusal.value)
    assert len(str(refusal.value)) < 600
    if way_out is not None:
        rows = list(chain.from_iterable(BUILDERS[builder](way_out(value))))
        assert sorted(row["x"] for row in rows) == list(range(60))


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("kind", sorted(set(REFUSED) - {"batches"}))
def test_what_holds_none_is_refused_in_a_wrapper_too(kind, wrapper, path):
    make, fact, _ = REFUSED[kind]
    with pytest.raises(Infeasible) as refusal:
        WRAPPERS[wrapper](make(path))
    assert fact in str(refusal.value)


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
def test_what_shares_itself_is_passed_without_a_wrapper(wrapper):
    for inner in (pack(ROWS), online.balanced(ROWS, key="label", batch_size=3, batches=False)):
        with pytest.raises(
            Infeasible, match=r"source 'source' is a stream, which shares .* by itself; pass the stream as"
        ):
            WRAPPERS[wrapper](inner)
    with pytest.raises(Infeasible, match="source 'source' is a Sharded, which is a source by itself; pass it as it is"):
        WRAPPERS[wrapper](online.Sharded([0], lambda shard: ROWS))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_list_of_shards_or_sources_is_no_set(kind):
    """Its order is another in each process, so that readers would miss samples and read others twice."""
    for make in (lambda shards: online.Sharded(shards, lambda shard: [shard]), online.Chain):
        with pytest.raises(
            Infeasible, match=f"are a {kind.__name__}, whose order is another in each process; pass sorted"
        ):
            make(kind(["a", "b"]))
    assert online.Sharded({"a": 1, "b": 2}, lambda shard: [shard]).shards == ["a", "b"]


def test_the_ways_to_samples_of_a_stream_of_batches():
    cases = {
        "pass batches=False to it": (
            lambda **more: online.balanced(ROWS, key="label", batch_size=3, **more), {}, {"batches": False}
        ),
        "leave out its batch_size": (lambda **more: online.mixed({"a": ROWS}, **more), {"batch_size": 3}, {}),
    }  # fmt: skip
    for said, (build, wrong, right) in cases.items():
        with pytest.raises(Infeasible, match=f"gives batches; {said} to read samples from it"):
            pack(build(**wrong))
        assert sum(map(len, pack(build(**right)))) == 60
    with pytest.raises(Infeasible, match="gives batches; pass its own source to read samples from it"):
        pack(pack(ROWS))


SAMPLES = [(float(n), n % 3) for n in range(120)]
STREAMS = {
    "balanced": lambda: online.balanced(SAMPLES, key=1, batch_size=9, buffer=60),
    "packed": lambda: online.packed(SAMPLES, length=lambda sample: 1, capacity=4, packs=2, buffer=30),
    "budgeted": lambda: online.budgeted(SAMPLES, length=lambda sample: 1, max_samples=7, buffer=30),
    "mixed": lambda: online.mixed({"a": SAMPLES, "b": SAMPLES}, batch_size=6),
    "of dictionaries": lambda: online.balanced(ROWS, key="label", batch_size=9, buffer=60),
    "two in a chain": lambda: STREAMS["packed"]() + STREAMS["packed"](),
}


@pytest.mark.parametrize("loader", [DataLoader, StatefulDataLoader])
@pytest.mark.parametrize("batch_size", [{}, {"batch_size": 4}, {"batch_size": 4, "drop_last": True}])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_loader_that_makes_batches_of_batches_is_refused(kind, batch_size, loader):
    with pytest.raises(
        Infeasible, match=r"makes a batch of \d+ batches, the first with \d+ samples: .* batch_size=None"
    ):
        next(iter(loader(STREAMS[kind](), **batch_size)))
    assert len(next(iter(loader(STREAMS[kind](), batch_size=None)))) in (6, 7, 8, 9)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_so_it_is_in_a_worker(method):
    loader = DataLoader(STREAMS["balanced"](), batch_size=4, num_workers=1, multiprocessing_context=method)
    with pytest.raises(Infeasible, match="makes a batch of 4 batches, the first with 9 samples"):
        list(loader)


def test_collate_refuses_batches_of_batches_too():
    with pytest.raises(Infeasible, match="makes a batch of 4 batches, the first with 9 samples"):
        next(iter(DataLoader(STREAMS["balanced"](), batch_size=4, collate_fn=bw.Collate())))
    batch = next(iter(DataLoader(STREAMS["balanced"](), batch_size=None, collate_fn=bw.Collate())))
    assert repr(batch).startswith("Batch(9 samples;")


def test_a_function_of_the_users_own_may_have_batches_of_batches():
    loader = DataLoader(STREAMS["balanced"](), batch_size=4, collate_fn=lambda batches: list(chain(*batches)))
    assert len(next(iter(loader))) == 36
    samples = online.balanced(SAMPLES, key=1, batch_size=9, buffer=60, batches=False)
    numbers, labels = next(iter(DataLoader(samples, batch_size=4)))
    assert numbers.shape == labels.shape == (4,)


@pytest.fixture
def shown(monkeypatch, capfd):
    """What warnings print, in workers too, where pytest would only note them."""

    def show(message, category, *where):
        print(f"{category.__name__}: {message}", file=sys.stderr)

    monkeypatch.setattr(warnings, "showwarning", show)
    warnings.simplefilter("always")  # until the test ends: pytest gives each its own filters
    return lambda: capfd.readouterr().err


class Plain(IterableDataset):
    def __iter__(self):
        return iter(range(40))


IDLE = {
    "iterable": (Plain, "1 of 3 workers reads source 'train' and 2 of them idle, since it cannot be split; pass"),
    "chain": (lambda: online.Chain([Plain(), Plain()], name="both"), "1 of 3 workers reads source 'both[0]' and 2 of"),
    "stream": (
        lambda: online.balanced(Plain(), key=lambda n: 0, batch_size=4, batches=False, name="inner"),
        "1 of 3 workers reads source 'inner' and 2 of them idle",
    ),
    "Hugging Face": (
        lambda: datasets.Dataset.from_dict({"n": list(range(40))}).to_iterable_dataset(num_shards=2),
        "2 of 3 workers read source 'train' and 1 of them idle, since it has 2 shards here; pass num_workers=2 to the",
    ),
}


@pytest.mark.parametrize("kind", sorted(IDLE))
def test_workers_that_have_nothing_to_read_are_named_once(kind, shown):
    make, said = IDLE[kind]
    loader = DataLoader(pack(make(), name="train"), batch_size=None, num_workers=3, collate_fn=list)
    for _ in range(2):
        assert len(list(loader)) >= 8
    printed = shown()
    assert printed.count(said) == 1
    assert printed.count("PoorWarning") == (2 if kind == "chain" else 1)  # of each part that cannot be split


@pytest.mark.parametrize("workers", [0, 1])
def test_one_reader_is_no_news(workers, shown):
    list(DataLoader(pack(Plain()), batch_size=None, num_workers=workers, collate_fn=list))
    assert "PoorWarning" not in shown()


def test_the_way_out_of_idle_workers_works(shown):
    for source in (online.Strided(Plain()), online.Sharded(range(4), lambda shard: range(shard * 10, shard * 10 + 10))):
        batches = list(DataLoader(pack(source), batch_size=None, num_workers=3, collate_fn=list))
        assert sorted(chain.from_iterable(batches)) == list(range(40))
    assert "PoorWarning" not in shown()


@pytest.mark.parametrize("builder", sorted(BUILDERS))
@pytest.mark.parametrize("empty", [list, lambda: TensorDataset(torch.zeros(0)), lambda: online.Strided([])])
def test_a_source_without_samples_says_so(builder, empty):
    stream = BUILDERS[builder](empty())
    name = {"mixed": "it", "chain": "chain"}.get(builder, "source")
    with pytest.warns(
        PoorWarning, match=f"source '{name}' has 0 samples; see whether its path, filter or split"
    ) as all_:
        assert list(stream) == []
    assert len(all_) == 1


@pytest.mark.parametrize("builder", sorted(BUILDERS))
def test_a_source_of_one_sample_gives_it(builder):
    def single(source):
        return online.balanced(source, key="label", batch_size=1)

    build = single if builder == "balanced" else BUILDERS[builder]
    assert [list(batch) for batch in islice(build(ROWS[:1]), 5)] == [[ROWS[0]]]
