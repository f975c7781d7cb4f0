"""A state of a pass is refused where the sources hold other data, and says which; a folder may move."""

from __future__ import annotations

import json
import shutil

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import webdataset

from batchwright import Infeasible, PoorWarning, online

ROWS = [{"id": n, "length": 1 + n % 7} for n in range(90)]


def parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=10)


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def arrow(path, rows):
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)


def tar(path, rows):
    with webdataset.TarWriter(str(path)) as file:
        for row in rows:
            file.write({"__key__": f"{row['id']:04}", "json": row})


WRITE = {"parquet": parquet, "jsonl": jsonl, "arrow": arrow, "tar": tar}
UNIT = {"parquet": "rows", "jsonl": "bytes", "arrow": "bytes", "tar": "bytes"}


def row_of(sample):
    return sample.get("json", sample)


def length(sample):
    return row_of(sample)["length"]


def key(sample):
    return row_of(sample)["id"] % 2


KINDS = {
    "budgeted": lambda source: online.budgeted(source, length=length, max_tokens=20, buffer=20),
    "balanced": lambda source: online.balanced(source, key=key, batch_size=4, buffer=20, when_short="redistribute"),
    "mixed": lambda source: online.mixed({"web": source}, batch_size=4),
    "of a stream": lambda source: online.packed(
        online.mixed({"web": online.Chain([source])}), length=length, capacity=20, buffer=20
    ),
}


def stopped(make, batches):
    loader = make().loader()
    given = [batch for _, batch in zip(range(batches), loader, strict=False)]
    return given, json.loads(json.dumps(loader.state_dict()))


def resumed(make, state):
    loader = make().loader()
    loader.load_state_dict(state)
    return list(loader)


@pytest.mark.parametrize("reader", sorted(WRITE))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_other_files_are_refused_by_name_and_a_folder_may_move(tmp_path, reader, kind):
    def make(folder):
        return KINDS[kind](getattr(online, reader)(folder / f"*.{reader}"))

    folder = tmp_path / "first"
    folder.mkdir()
    for number in range(3):
        WRITE[reader](folder / f"{number}.{reader}", ROWS[number::3])
    given, state = stopped(lambda: make(folder), 3)
    whole = list(make(folder).loader())
    moved = tmp_path / "deep" / "second"
    shutil.copytree(folder, moved)
    assert given + resumed(lambda: make(moved), state) == whole or reader == "tar"  # which names its files in samples

    def refused(why):
        with pytest.raises(
            Infeasible, match=f"the state is of a pass over other data: {why}; resume with the data that"
        ):
            make(moved).load_state_dict(state)
        with pytest.raises(Infeasible, match="over other data"):
            resumed(lambda: make(moved), online.merged([state]))

    name = r"\(source '(web|" + reader + r"|chain\[0\])'\)"
    if kind == "of a stream":
        name = r"\(source '.*'\)"
    WRITE[reader](moved / f"00.{reader}", ROWS[:10])
    refused(f"file '00.{reader}' is new {name}")
    (moved / f"00.{reader}").unlink()
    WRITE[reader](moved / f"1.{reader}", ROWS[1:60:3])
    refused(rf"file '1.{reader}' has [\d,]+ {UNIT[reader]}, it had [\d,]+ {name}")
    (moved / f"1.{reader}").unlink()
    refused(f"file '1.{reader}' is missing {name}")


def test_files_in_other_shards_are_refused(tmp_path):
    jsonl(tmp_path / "a.jsonl", ROWS)
    _, state = stopped(lambda: KINDS["budgeted"](online.jsonl(tmp_path, bytes_per_shard=1000)), 2)
    with pytest.raises(Infeasible, match=r"in 4 shards, it had 1 files with [\d,]+ bytes in 3 shards; resume"):
        KINDS["budgeted"](online.jsonl(tmp_path, bytes_per_shard=600)).load_state_dict(state)
    with pytest.raises(Infeasible, match="the files of source 'jsonl' have other names, sizes or another order"):
        KINDS["budgeted"](online.jsonl(tmp_path, bytes_per_shard=1001)).load_state_dict(state)
    for names in ("ab", "ba"):
        jsonl(tmp_path / f"{names[0]}.jsonl", ROWS[:9])
    _, state = stopped(lambda: KINDS["budgeted"](online.jsonl([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])), 2)
    with pytest.raises(Infeasible, match="have other names, sizes or another order"):
        KINDS["budgeted"](online.jsonl([tmp_path / "b.jsonl", tmp_path / "a.jsonl"])).load_state_dict(state)


def mixture(first, second):
    return online.packed(
        online.mixed({1: first, "1": second}, at_end="continue"), length=length, capacity=20, buffer=20
    )


JOINED = {  # streams of two sources whose names are the same as text
    "chain": lambda first, second: KINDS["budgeted"](online.Chain([first, second])),
    "chain of chains": lambda first, second: KINDS["budgeted"](online.Chain([online.Chain([first]), second])),
    "mixture": mixture,
    "mixture of chains": lambda first, second: mixture(online.Chain([first]), online.Chain([second])),
}


@pytest.mark.parametrize("other", [0, 1])
@pytest.mark.parametrize("kind", sorted(JOINED))
def test_each_of_two_sources_of_one_name_is_compared(tmp_path, kind, other):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]

    def make():
        return JOINED[kind](*map(online.jsonl, paths))

    for path in paths:
        jsonl(path, ROWS)
    given, state = stopped(make, 3)
    whole = list(make().loader())
    assert given + resumed(make, state) == whole
    jsonl(paths[other], ROWS[:-1])
    with pytest.raises(Infeasible, match=rf"over other data: file '{'ab'[other]}.jsonl' has [\d,]+ bytes, it had"):
        make().load_state_dict(state)


@pytest.mark.parametrize("other", [0, 1])
def test_arguments_of_each_of_two_sources_of_one_name_are_compared(other):
    def make(*seeds):
        return mixture(*(online.Sharded([0], lambda n: ROWS, shuffle=True, seed=seed) for seed in seeds))

    _, state = stopped(lambda: make(1, 1), 2)
    with pytest.raises(Infeasible, match=r"with other arguments: seed of source .* was 1 and is 2"):
        make(*(2 if place == other else 1 for place in range(2))).load_state_dict(state)


SOURCES = {
    "a list": (lambda rows: rows, "source 'source' has 80 samples, it had 90 samples"),
    "a dataset": (
        lambda rows: online.huggingface(datasets.Dataset.from_list(rows)),
        "source 'huggingface' has 1 shards with 80 rows, it had 1 shards with 90 rows",
    ),
    "shards": (
        lambda rows: online.Sharded(range(len(rows) // 10), lambda n: rows[10 * n : 10 * n + 10]),
        "source 'shards' has 8 shards, it had 9 shards",
    ),
    "many files": (
        lambda rows: online.Sharded([f"/data/{n}" for n in range(len(rows) * 30)], lambda path: rows[:1]),
        r"source 'shards' has 2,400 files in 2,400 shards, it had 2,700 files in 2,700 shards",
    ),
}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_sources_of_another_size_are_refused(source):
    make, why = SOURCES[source]
    _, state = stopped(lambda: KINDS["budgeted"](make(ROWS)), 2)
    resumed(lambda: KINDS["budgeted"](make(ROWS)), state)
    with pytest.raises(Infeasible, match=f"other data: {why}; resume"):
        KINDS["budgeted"](make(ROWS[:80])).load_state_dict(state)


class Growing:
    """An iterable of the user's own, which may know how many samples and shards it has."""

    def __init__(self, rows, **known):
        self.rows = rows
        vars(self).update(known)

    def __iter__(self):
        return iter(self.rows)


class Counted(Growing):
    def __len__(self):
        return len(self.rows)


class Miscounted(Growing):
    """A source whose number of rows cannot be asked, as of data sets that are counted while they are read."""

    def __len__(self):
        raise NotImplementedError


BY_OWN_ACCOUNT = {
    "a length": (Counted, {}, {}, "source 'source' says it has 95 samples, it said 90"),
    "a number of shards": (Growing, {"num_shards": 3}, {"num_shards": 4}, "'source' says it has 4 shards, it said 3"),
    "shards": (Miscounted, {"shards": ["a"]}, {"shards": ["a", "b"]}, "'source' says it has 2 shards, it said 1"),
    "both": (
        Counted,
        {"num_shards": 3},
        {"num_shards": 4},
        "says it has 95 samples, it said 90, .* 4 shards, it said 3",
    ),
}


@pytest.mark.parametrize("wrap", [lambda source: source, online.Strided])
@pytest.mark.parametrize("known", sorted(BY_OWN_ACCOUNT))
def test_of_a_users_own_iterable_that_has_grown_is_told(known, wrap):
    """It may count otherwise for good reasons, so it is not refused; what it does not say cannot be told."""
    kind, before, after, why = BY_OWN_ACCOUNT[known]
    given, state = stopped(lambda: KINDS["budgeted"](wrap(kind(ROWS, **before))), 2)
    assert given + resumed(lambda: KINDS["budgeted"](wrap(kind(ROWS, **before))), state) == list(
        KINDS["budgeted"](wrap(kind(ROWS, **before)))
    )
    more = KINDS["budgeted"](wrap(kind(ROWS + ROWS[:5], **after)))
    with pytest.warns(
        PoorWarning, match=f"the state may be of a pass over other data: .*{why}.*; what was read is left out"
    ):
        more.load_state_dict(state)
    assert sum(map(len, given)) + sum(map(len, more)) == 95
    resumed(lambda: KINDS["budgeted"](wrap(Growing(ROWS + ROWS[:5]))), state)  # which says nothing


def test_shards_added_to_a_streamed_hugging_face_dataset_are_refused():
    def streamed(shards):
        rows = datasets.Dataset.from_list(ROWS).to_iterable_dataset(num_shards=shards)
        return KINDS["budgeted"](rows.filter(bool))  # a shuffle of datasets 5.0 makes one shard of them

    _, state = stopped(lambda: streamed(3), 2)
    with pytest.raises(Infeasible, match="other data: source 'source' has 4 shards, it had 3 shards; resume"):
        streamed(4).load_state_dict(state)


class Own:
    """A source of the user's own, which says what it holds in its own way."""

    name = "own"

    def __init__(self, rows, version):
        self.rows, self.version = rows, version

    def contents(self):
        return {"version": self.version}

    def reader(self, replica, epoch):
        return online.Sharded([0], lambda _: self.rows).reader(replica, epoch)


def test_a_source_of_the_users_own_says_what_it_holds():
    _, state = stopped(lambda: KINDS["budgeted"](Own(ROWS, 1)), 2)
    resumed(lambda: KINDS["budgeted"](Own(ROWS, 1)), state)
    with pytest.raises(Infeasible, match=r"other data: source 'own' holds \{'version': 2\}, it held \{'version': 1\}"):
        KINDS["budgeted"](Own(ROWS, 2)).load_state_dict(state)


def test_between_epochs_other_data_may_come():
    loader = KINDS["budgeted"](ROWS).loader()
    list(loader)
    again = KINDS["budgeted"](ROWS + ROWS[:5]).loader()
    again.load_state_dict(loader.state_dict())
    assert sum(map(len, again)) == 95


def test_arguments_that_differ_are_named():
    _, state = stopped(lambda: KINDS["balanced"](online.Strided(ROWS)), 2)
    for make, why in {
        lambda: KINDS["balanced"](ROWS): "source 'source' was Strided and is Indexed",
        lambda: KINDS["budgeted"](ROWS): "it was balanced and is budgeted",
        lambda: online.balanced(online.Strided(ROWS), key=key, batch_size=5, buffer=21, when_short="wait"): (
            "batch_size was 4 and is 5, buffer was 20 and is 21, when_short was 'redistribute' and is 'wait', patience"
        ),
    }.items():
        with pytest.raises(Infeasible, match=f"the state is of a stream with other arguments: {why}"):
            make().load_state_dict(state)
    _, state = stopped(lambda: online.budgeted(online.Sharded([0], lambda n: ROWS), length=length, max_tokens=20), 2)
    for source, why in {
        online.Sharded(
            [0], lambda n: ROWS, shuffle=True, seed=3
        ): "shuffle of source 'shards' was False and is True, seed",
        online.Sharded([0], lambda n: ROWS, name="train"): "source 'shards' is missing, source 'train' is new",
    }.items():
        with pytest.raises(Infeasible, match=f"other arguments: {why}"):
            online.budgeted(source, length=length, max_tokens=20).load_state_dict(state)
