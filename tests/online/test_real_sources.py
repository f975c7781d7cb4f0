"""Sources as people have them: tar shards, Parquet row groups, Hugging Face streams, generators."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice

import datasets
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import webdataset
from torch.utils.data import DataLoader, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright import online

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata's own call
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

COUNT = 240
ROWS = [{"id": n, "label": "rare" if n * 37 % 101 < 13 else "common", "length": 1 + n * n % 31} for n in range(COUNT)]


def read_tar(path):
    with open(path, "rb") as tar:
        for sample in webdataset.DataPipeline(
            lambda: iter([{"url": str(path), "stream": tar}]),
            webdataset.tariterators.tar_file_expander,
            webdataset.tariterators.group_by_keys,
            webdataset.decode(),
        ):
            yield sample["json"]


def read_row_group(shard):
    path, number = shard
    with parquet.ParquetFile(path) as file:
        return file.read_row_group(number).to_pylist()


def tar_shards(folder):
    for shard in range(6):
        path = folder / f"train-{shard}.tar"
        if not path.exists():
            with webdataset.TarWriter(str(path)) as tar:
                for row in ROWS[shard * 40 : (shard + 1) * 40]:
                    tar.write({"__key__": f"{row['id']:06}", "json": row})
    return online.Sharded(sorted(folder.glob("*.tar")), read_tar, name="tar")


def row_groups(folder):
    path = folder / "rows.parquet"
    if not path.exists():
        parquet.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=30)
    shards = [(path, number) for number in range(8)]
    return online.Sharded(shards, read_row_group, shuffle=True, name="parquet")


def hugging_face(folder):
    return datasets.Dataset.from_list(ROWS).to_iterable_dataset(num_shards=6)


class Generated(IterableDataset):
    def __iter__(self):
        yield from ROWS


def generator(folder):
    return online.Strided(Generated(), name="generator")


SOURCES = [tar_shards, row_groups, hugging_face, generator]


def loader(make, folder, workers, **more):
    stream = online.balanced(
        make(folder),
        key="label",
        batch_size=4,
        target={"rare": 0.25, "common": 0.75},
        buffer=60,
        when_short="repeat",
        **more,
    )
    return StatefulDataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list)


@pytest.mark.parametrize("make", SOURCES)
def test_balanced_with_workers_and_going_on_after_a_stop(make, tmp_path):
    whole = list(loader(make, tmp_path, 2))
    assert all(Counter(row["label"] for row in batch) == {"rare": 1, "common": 3} for batch in whole[:20])
    first = loader(make, tmp_path, 2)
    head = list(islice(first, 9))
    second = loader(make, tmp_path, 2)
    second.load_state_dict(first.state_dict())
    assert head + list(second) == whole


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("workers", [0, 3])
def test_two_ranks_read_every_row_once(make, workers, tmp_path):
    rows = []
    for rank in (0, 1):
        stream = online.packed(make(tmp_path), length="length", capacity=64, buffer=50, rank=rank, world_size=2)
        rows += chain.from_iterable(DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list))
    assert sorted(row["id"] for row in rows) == list(range(COUNT))


def test_a_webdataset_pipeline_that_splits_itself(tmp_path):
    tar_shards(tmp_path)
    pipeline = webdataset.DataPipeline(
        webdataset.SimpleShardList(sorted(map(str, tmp_path.glob("*.tar")))),
        webdataset.split_by_worker,
        Opened(),
        webdataset.tariterators.tar_file_expander,
        webdataset.tariterators.group_by_keys,
        webdataset.decode(),
    )
    stream = online.budgeted(online.SelfSplit(pipeline), length=lambda row: 1, max_samples=16, buffer=32)
    batches = DataLoader(stream, batch_size=None, num_workers=2, collate_fn=list)
    assert sorted(row["json"]["id"] for batch in batches for row in batch) == list(range(COUNT))


class Opened:
    """webdataset's url_opener, but one that closes what it opened."""

    def __call__(self, shards):
        for shard in shards:
            with open(shard["url"], "rb") as stream:
                yield {**shard, "stream": stream}
