"""torchtitan's loader of packs: built as its trainer builds it, and read as it reads.

In an environment of its own (`make test-trainers`), since its packages clash. `test_torchtitan_runs` runs its trainer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from torchtitan.components.dataloader import BaseDataLoader, DataloaderExhaustedError

from batchwright.adapters.torchtitan import PlanDataLoader

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's checkpoints, and of documents that are few

SEQ_LEN, ROWS = 16, 3
LENGTHS = [n * 7 % 23 + 2 for n in range(90)]
DOCUMENTS = [[1000 * n + place for place in range(length)] for n, length in enumerate(LENGTHS)]


def documents(tokenizer):
    assert tokenizer == "the tokenizer"
    return DOCUMENTS


def several(tokenizer):
    return {"web": DOCUMENTS[:60], "books": DOCUMENTS[60:]}


def built(rank=0, world_size=1, **options):
    """As `Trainer.__init__` builds it."""
    config = PlanDataLoader.Config(**{"documents": documents, "infinite": False, **options})
    loader = config.build(
        dp_world_size=world_size, dp_rank=rank, tokenizer="the tokenizer", seq_len=SEQ_LEN, local_batch_size=ROWS,
        snapshot_every_n_steps=5,
    )  # fmt: skip
    assert isinstance(loader, BaseDataLoader)
    return loader


def batches(loader):
    """As `Trainer.batch_generator` reads it."""
    iterator = iter(loader)
    while True:
        try:
            inputs, labels = next(iterator)
        except StopIteration as ended:
            raise DataloaderExhaustedError from ended
        for tensor in (inputs["input"], inputs["positions"], labels):
            assert (tuple(tensor.shape), tensor.dtype) == ((ROWS, SEQ_LEN), torch.int64)
        yield inputs, labels


def taken(loader, count=None):
    found, generator = [], batches(loader)
    while count is None or len(found) < count:
        try:
            found.append(next(generator))
        except DataloaderExhaustedError:
            break
    return found


def pairs(batch):
    """(input, label) wherever a label counts, with its position."""
    inputs, labels = batch
    real = labels != -100
    columns = (inputs["input"][real], labels[real], inputs["positions"][real])
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("too_long", ["split", "truncate", "skip"])
def test_finite_data_has_each_token_once_and_as_many_batches_on_every_rank(world_size, too_long):
    ranks = [taken(built(rank, world_size, too_long=too_long)) for rank in range(world_size)]
    assert len({len(found) for found in ranks}) == 1
    seen = [pair for found in ranks for batch in found for pair in pairs(batch)]
    inputs = [token for token, _, _ in seen]
    for token, label, position in seen:
        assert label == token + 1  # the next token of the same document
        assert position == token % 1000 % SEQ_LEN if too_long == "split" else position == token % 1000
    whole = [n for n, length in enumerate(LENGTHS) if too_long != "skip" or length - 1 <= SEQ_LEN]
    most = SEQ_LEN if too_long == "truncate" else 10**6
    wanted = {1000 * n + place for n in whole for place in range(min(LENGTHS[n] - 1, most))}
    assert set(inputs) == wanted
    spare = len(inputs) - len(wanted)  # an epoch is a whole number of steps: the last one goes on into the next epoch
    assert spare <= (world_size - 1) * ROWS * SEQ_LEN


@pytest.mark.parametrize("world_size", [2, 4])
def test_packs_are_made_over_all_ranks(world_size):
    """Four ranks have no more packs than one has, but for a step that is whole."""
    alone = len(taken(built()))
    assert sum(len(taken(built(rank, world_size))) for rank in range(world_size)) < alone + world_size


@pytest.mark.parametrize("worlds", [(1, 1), (1, 2), (2, 1), (2, 4)])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_checkpoint_goes_on_in_any_world(worlds, workers, tmp_path):
    """Through torch's distributed checkpoints, as torchtitan saves and loads; workers have read ahead."""
    before, after = worlds
    first = [built(rank, before, num_workers=workers) for rank in range(before)]
    done = [taken(loader, 4) for loader in first]
    states = [loader.state_dict() for loader in first]
    assert all(state == states[0] for state in states)  # the same on all ranks, which torch saves once
    dcp.save({"dataloader": first[0]}, checkpoint_id=tmp_path, no_dist=True)
    resumed = [built(rank, after) for rank in range(after)]
    for loader in resumed:
        dcp.load({"dataloader": loader}, checkpoint_id=tmp_path, no_dist=True)
    rest = [taken(loader) for loader in resumed]
    assert len({len(found) for found in rest}) == 1
    if before == after:
        assert [list(map(pairs, batches)) for batches in rest] == [list(map(pairs, taken(built())))[4:]]
    inputs = [token for found in (*done, *rest) for batch in found for token, _, _ in pairs(batch)]
    wanted = {1000 * n + place for n in range(90) for place in range(LENGTHS[n] - 1)}
    assert set(inputs) == wanted
    assert len(inputs) - len(wanted) <= (after - 1) * ROWS * SEQ_LEN  # of a last step that is whole


def test_a_state_of_nothing_changes_nothing_and_the_end_of_the_data_is_kept():
    loader = built()
    loader.load_state_dict({})
    everything = taken(loader)
    again = built()
    again.load_state_dict(loader.state_dict())
    assert taken(again) == []
    assert len(everything) == loader.plan.epoch_length()


def test_infinite_data_goes_on():
    length = built().plan.epoch_length()
    seen = taken(built(infinite=True), 2 * length)
    tokens = [token for batch in seen for token, _, _ in pairs(batch)]
    assert sorted(tokens) == sorted([1000 * n + place for n in range(90) for place in range(LENGTHS[n] - 1)] * 2)


def test_several_sequences_are_mixed_by_tokens():
    loader = built(documents=several, shares={"web": 0.25, "books": 0.75}, infinite=True)
    tokens = [token // 1000 >= 60 for batch in taken(loader, 200) for token, _, _ in pairs(batch)]
    assert sum(tokens) / len(tokens) == pytest.approx(0.75, abs=0.02)


CASES = cases(
    "refuse message follow",
    {
        "shares of other sequences": (
            lambda: built(documents=several, shares={"web": 1.0}),
            "shares are of ['web'], the documents of ['books', 'web']; pass a share of each sequence of documents.",
            lambda: built(documents=several, shares={"web": 0.5, "books": 0.5}),
        ),
        "a document of no token": (
            lambda: built(documents=lambda tokenizer: [[1, 2], [], [3]]),
            "document 1 has 0 tokens, the least is 2: one is read, the next one predicted; leave out documents of fewer",
            lambda: built(documents=lambda tokenizer: [[1, 2]]),
        ),
    },
)


def test_every_refusal_says_what_is_wrong_and_its_way_out_works():
    for case in CASES.values():
        told_and_followed(case)
    check_that_all_are_reached([SOURCE / "adapters" / "torchtitan.py"], 2, [CASES], [])


def test_the_page_runs():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "torchtitan.md"
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page):
        example.evaluate()
