"""Files of one class each are noticed by a bounded look; what the look did not see is put where it belongs."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections import Counter
from itertools import islice

import fsspec
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online
from batchwright.online import noticed

from ..examples import examples

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of small sources

KINDS = ["cat", "dog", "owl"]


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))


def write_tar(path, rows):
    with webdataset.TarWriter(str(path)) as tar:
        for row in rows:
            tar.write({"__key__": f"{path.stem}-{row['id']:04}", "label.txt": row["label"], "json": row})


FORMATS = {
    "jsonl": (
        write_lines,
        lambda folder, **more: online.jsonl(folder / "*.jsonl", bytes_per_shard=10_000, **more),
        "label",
    ),
    "tar": (write_tar, lambda folder, **more: online.tar(folder / "*.tar", **more), "label.txt"),
}


def rows_of(kind, count, first=0, pad=40):
    return [{"id": first + n, "label": kind, "pad": "x" * pad} for n in range(count)]


def number_of(sample):
    return sample.get("json", sample)["id"]


@pytest.fixture(params=sorted(FORMATS))
def form(request):
    return FORMATS[request.param] + (request.param,)


def make(folder, form, files, **more):
    write, source, key, ending = form
    for name, rows in files.items():
        write(folder / f"{name}.{ending}", rows)
    return lambda **changes: online.balanced(
        source(folder, **more), **{"key": key, "batch_size": 6, "buffer": 12} | changes
    )


def pure(count=90):
    return {
        f"{kind}{part}": rows_of(kind, count, 1000 * at + 500 * part)
        for at, kind in enumerate(KINDS)
        for part in (0, 1)
    }


def test_files_of_one_class_each_are_read_side_by_side(tmp_path, form):
    stream = make(tmp_path, form, pure())
    batches = list(stream())
    assert [Counter(batch.groups) for batch in batches] == [dict.fromkeys(KINDS, 2)] * 90
    assert stream().audit().kept
    mixed = make(tmp_path, form, pure(), groups=None)()
    assert all(set(batch.groups) != set(KINDS) for batch in list(mixed)[9:])  # a buffer of 12 has no such runs


def test_a_function_as_key_and_what_is_not_decoded(tmp_path, form):
    stream = make(tmp_path, form, pure())
    key = form[2]
    assert list(stream(key=lambda sample: sample[key])) == list(stream())
    if form[3] == "tar":
        raw = make(tmp_path, form, pure(), decode=None)()
        assert next(iter(raw)).groups.count(b"cat") == 2


def fresh(batches):
    return [sample for batch in batches for at, sample in enumerate(batch) if at not in batch.repeats]


UNSEEN = (1, 4, 6)  # places in the files of `pure(60)` of which no sample is looked at


@given(
    st.lists(st.sampled_from([None, *KINDS]), min_size=18, max_size=18),
    st.sampled_from(["wait", "repeat", "redistribute"]),
    st.integers(1, 12),
)
@examples(12)
def test_what_was_not_seen_comes_with_its_own_group_and_nothing_is_lost(tmp_path_factory, others, when_short, stop):
    """Files that look pure, and have samples of other groups; also stopped, and gone on with other readers."""
    files = pure(60)
    for rows, kinds in zip(files.values(), zip(*[iter(others)] * len(UNSEEN), strict=True), strict=True):
        for place, kind in zip(UNSEEN, kinds, strict=True):
            rows[place]["label"] = kind or rows[place]["label"]
    built = make(tmp_path_factory.mktemp("files"), (*FORMATS["jsonl"], "jsonl"), files)
    stream, batches = built(when_short=when_short), []
    for batch in stream:
        batches.append(batch)
        assert list(batch.groups) == [sample["label"] for sample in batch]
        if not batch.redistributed:
            assert Counter(batch.groups) == dict.fromkeys(KINDS, 2)
        report = stream.report()
        assert report.read == report.delivered - report.repeated + report.dropped + report.skipped + report.buffered
    given = list(map(number_of, fresh(batches)))
    assert max(Counter(given).values()) == 1
    truth = Counter(row["label"] for rows in files.values() for row in rows)
    assert report.dropped == 0
    if when_short == "redistribute":
        assert (len(given) + report.buffered, report.seen) == (360, truth)
        assert report.buffered < 6
    if when_short == "repeat":
        assert 360 - len(given) <= 18  # samples in the files of others that wait at the end
    half, again = built(when_short=when_short), built(when_short=when_short)
    head = list(islice(half, stop))
    again.load_state_dict(json.loads(json.dumps(half.state_dict())))
    assert head + list(again) == batches
    seen = list(map(number_of, fresh(head)))
    for rank in range(2):
        one = built(when_short=when_short, rank=rank, world_size=2)
        one.load_state_dict([half.state_dict()])
        seen += map(number_of, fresh(one))
        assert one.report().dropped == 0
    assert max(Counter(seen).values()) == 1
    if when_short == "redistribute":
        assert len(seen) > 360 - 12
    old = [built(when_short=when_short, rank=rank, world_size=2) for rank in range(2)]
    seen = list(map(number_of, fresh([*islice(old[0], stop), *old[1]])))
    one = built(when_short=when_short)
    one.load_state_dict([each.state_dict() for each in old])
    seen += map(number_of, fresh(one))
    assert max(Counter(seen).values()) == 1
    assert when_short == "wait" or len(seen) + one.report().buffered == 360
    assert when_short != "redistribute" or one.report().buffered < 6


def test_a_file_that_was_wrongly_taken_for_one_of_a_class_costs_no_more_memory_than_the_buffer(tmp_path):
    files = pure(60)
    looked_at = noticed._spread(60, 1)
    files["cat0"] = [row | ({} if at in looked_at else {"label": "dog"}) for at, row in enumerate(files["cat0"])]
    built = make(tmp_path, (*FORMATS["tar"], "tar"), files)
    for more, most in (({}, 12), ({"buffer_bytes": 5, "size": lambda sample: 1}, 5)):
        stream = built(when_short="redistribute", **more)
        for _ in stream:
            assert stream.report().buffered <= most
        report = stream.report()
        assert report.dropped > 0
        assert report.read == report.delivered + report.dropped + report.buffered


def test_a_group_whose_files_have_none_of_it_for_a_reader_ends_a_pass_that_repeats(tmp_path):
    """Of the cats, one of two readers has only dogs, in a file that seems to have cats."""
    files = pure(60)
    del files["cat1"]
    looked_at = noticed._spread(60, 1)
    files["cat0"] = [row | ({} if at in looked_at else {"label": "dog"}) for at, row in enumerate(files["cat0"])]
    built = make(tmp_path, (*FORMATS["tar"], "tar"), files)
    for rank in (0, 1, 3, 4):
        assert len(list(islice(built(when_short="repeat", rank=rank, world_size=16), 200))) < 200


def test_a_group_that_nobody_saw_is_refused_or_skipped_and_the_way_out_works(tmp_path, form):
    files = pure(60)
    files["dog0"][4]["label"] = "emu"
    built = make(tmp_path, form, files)
    with pytest.raises(Infeasible, match=r"its key is 'emu', and no sample that was looked at is .* pass groups=None"):
        list(built())
    skipping = built(on_error="skip")
    assert len(list(skipping)) == 59
    assert skipping.report().skipped == 1
    assert list(make(tmp_path, form, files, groups=None)(when_short="redistribute"))


@pytest.mark.parametrize(
    "more", [{"target": "natural"}, {"unit": lambda sample: 2}, {"target": {**dict.fromkeys(KINDS, 0.3), "emu": 0.1}}]
)
def test_what_shards_of_one_class_cannot_give_is_left_to_the_buffer(tmp_path, form, more):
    files = pure(60)
    noticing, mixed = make(tmp_path, form, files), make(tmp_path, form, files, groups=None)
    arguments = more | {"when_short": "redistribute"}
    assert list(noticing(**arguments)) == list(mixed(**arguments))


def test_files_that_are_mixed_or_all_alike_or_broken_are_read_as_before(tmp_path, form):
    rows = [row for kind in KINDS for row in rows_of(kind, 60, 100 * KINDS.index(kind))]
    random.Random(3).shuffle(rows)
    cases = {"mixed": {"a": rows[:90], "b": rows[90:]}, "alike": {"a": rows_of("cat", 60), "b": rows_of("cat", 60, 60)}}
    for name, files in cases.items():
        (tmp_path / name).mkdir()
        noticing, mixed = (make(tmp_path / name, form, files, **more) for more in ({}, {"groups": None}))
        assert list(noticing()) == list(mixed())
    _, source, key, ending = form
    assert source(tmp_path / "alike").grouped("no such entry").groups is None
    (tmp_path / "alike" / f"z.{ending}").write_bytes(b"{ no json")
    assert source(tmp_path / "alike").grouped(key).groups is None


def test_a_look_reads_no_more_than_is_said(tmp_path, monkeypatch):
    """Of large files at most four places; of mixed ones only the first; of more than 4,096 shards nothing."""
    read = Counter()

    class Counting(io.FileIO):
        def read(self, size=-1):
            found = super().read(size)
            read[self.name] += len(found)
            return found

        def readall(self):
            raise AssertionError("it reads all")

    monkeypatch.setattr("batchwright.online.file_shards.open", lambda path, mode: Counting(path, mode), raising=False)
    files = {f"{kind}{part}": rows_of(kind, 150, pad=30_000) for kind in KINDS[:2] for part in (0, 1)}
    for name, rows in files.items():
        write_tar(tmp_path / f"{name}.tar", rows)
        write_lines(tmp_path / f"{name}.jsonl", rows)
    assert online.tar(tmp_path / "*.tar").grouped("label.txt").groups == ["cat", "cat", "dog", "dog"]
    assert max(read.values()) <= 4 * ((1 << 20) + 512)
    read.clear()
    found = online.jsonl(tmp_path / "*.jsonl", bytes_per_shard=1 << 30).grouped("label").groups
    assert found == ["cat", "cat", "dog", "dog"]
    assert max(read.values()) <= 4 * ((64 << 10) + 70_000) * 2
    read.clear()
    assert online.jsonl(tmp_path / "*.jsonl").grouped("id").groups is None
    assert len(read) == 1
    monkeypatch.setattr(noticed, "_MOST_SHARDS", 3)
    read.clear()
    assert online.jsonl(tmp_path / "*.jsonl", bytes_per_shard=1 << 30).grouped("label").groups is None
    assert not read


def test_files_behind_a_url_are_looked_at_too(tmp_path, form):
    built = make(tmp_path, form, pure())
    memory = fsspec.filesystem("memory")
    for file in tmp_path.iterdir():
        memory.pipe(f"/noticed/{file.name}", file.read_bytes())
    read, more = (online.tar, {}) if form[3] == "tar" else (online.jsonl, {"bytes_per_shard": 10_000})
    source = read(f"memory://noticed/*.{form[3]}", storage_options={}, **more)
    stream = online.balanced(source, key=form[2], batch_size=6, buffer=12)
    assert [list(map(number_of, batch)) for batch in stream] == [list(map(number_of, batch)) for batch in built()]


def test_a_tar_file_within_a_tar_file_is_no_part_of_it(tmp_path):
    """Headers within the content of a member do not count: from them, no chain of members leads to the end."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        for number in range(9):
            member = tarfile.TarInfo(f"inner{number}.cls")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"9"))
    for kind in (0, 1):
        with webdataset.TarWriter(str(tmp_path / f"{kind}.tar")) as tar:
            for number in range(300):
                tar.write({"__key__": f"{kind}-{number:03}", "cls": kind, "inner.bin": inner.getvalue()})
    assert online.tar(tmp_path / "*.tar").grouped("cls").groups == [0, 1]


def test_the_group_of_each_file_of_lines_may_be_said(tmp_path):
    files = pure()
    built = make(tmp_path, (*FORMATS["jsonl"], "jsonl"), files, groups=[kind for kind in KINDS for _ in (0, 1)])
    assert [Counter(batch.groups) for batch in built()] == [dict.fromkeys(KINDS, 2)] * 90
    with pytest.raises(Infeasible, match="has 6 files and 2 groups; pass the group of each file"):
        make(tmp_path, (*FORMATS["jsonl"], "jsonl"), files, groups=["cat", "dog"])()
    with pytest.raises(Infeasible, match="groups is 'cat'"):
        online.jsonl(tmp_path / "*.jsonl", groups="cat")
