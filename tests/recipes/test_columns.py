"""Columns of files: the same values and the same fingerprint from every kind of file."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

import batchwright as bw
from batchwright.cli.inspecting import describe_files

from .data import KINDS, LENGTHS, WEIGHTS, every_kind

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_kind_of_file_gives_the_same_values_and_the_same_fingerprint(tmp_path):
    digests = {"kind": set(), "n": set(), "w": set()}
    for kind, path in every_kind(tmp_path).items():
        for name, values in {"kind": KINDS, "n": LENGTHS, "w": WEIGHTS}.items():
            if (kind == "npy" and name != "n") or (kind == "pt" and name == "kind"):
                continue
            column = bw.Column(path, "" if kind == "npy" else name)
            assert np.asarray(column).tolist() == values, kind
            np.array(column)[0] = np.array(column, copy=True)[0] = values[1]
            assert np.asarray(column).tolist() == values, kind
            assert len(column) == len(values)
            digests[name].add(column.digest)
    assert [len(found) for found in digests.values()] == [1, 1, 1]


@pytest.mark.parametrize("hidden", ["", "pyarrow"])
def test_an_empty_line_of_an_only_column_is_a_missing_value(tmp_path, monkeypatch, hidden):
    (tmp_path / "x.csv").write_text("k\na\n\nb\n")
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(bw.Infeasible, match="no value at sample 1"):
        bw.balanced(bw.Column(tmp_path / "x.csv", "k"), 2)


def test_csv_is_read_alike_with_and_without_pyarrow(tmp_path, monkeypatch):
    path = tmp_path / "odd.csv"
    path.write_bytes('\ufeffa,b,c,d,e\r\n007,1,1.5,-3,"x,\ny"\r\n8,2,2,0,z\r\n\r\n9,30,1e3,5,z\r\n'.encode())
    names = bw.Column.names(path)
    assert names == list("abcde")
    fast = {name: bw.Column(path, name) for name in names}
    values = {name: np.asarray(column).tolist() for name, column in fast.items()}
    assert values == {
        "a": ["007", "8", "9"], "b": [1, 2, 30], "c": [1.5, 2.0, 1000.0], "d": [-3, 0, 5], "e": ["x,\ny", "z", "z"],
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in names:
        slow = bw.Column(path, name)
        assert (np.asarray(slow).tolist(), slow.digest) == (values[name], fast[name].digest)


@pytest.mark.parametrize(
    "values", [torch.ones(2, dtype=torch.bfloat16), torch.ones(2, requires_grad=True), torch.tensor(1.0)]
)
def test_tensors_of_every_form_are_read(tmp_path, values):
    torch.save(values, tmp_path / "x.pt")
    assert np.asarray(bw.Column(tmp_path / "x.pt")).tolist() == [1.0] * values.numel()


def test_an_array_of_one_number_is_one_sample(tmp_path):
    np.save(tmp_path / "x.npy", 3)
    assert np.asarray(bw.Column(tmp_path / "x.npy")).tolist() == [3]


def test_a_changed_value_and_a_changed_order_change_the_fingerprint(tmp_path):
    path = tmp_path / "x.csv"
    digests = set()
    for text in ("k\na\nb\n", "k\nb\na\n", "k\na\nb\nb\n", "k\n1\n2\n", "k\n1.0\n2.0\n", "k\n01\n2\n"):
        path.write_text(text)
        digests.add(bw.Column(path, "k").digest)
    assert len(digests) == 6


def test_a_column_is_a_column_wherever_one_is_asked_for(tmp_path):
    paths = every_kind(tmp_path)
    kinds, lengths, weights = (bw.Column(paths["parquet"], name) for name in ("kind", "n", "w"))
    assert bw.balanced(kinds, 4).fingerprint == bw.balanced(KINDS, 4).fingerprint
    assert bw.budgeted(lengths, 16).fingerprint == bw.budgeted(LENGTHS, 16).fingerprint
    assert bw.weighted(weights, 2).fingerprint == bw.weighted(WEIGHTS, 2).fingerprint
    both = bw.Groups.combine(kinds, lengths)
    assert bw.balanced(both, 8).fingerprint == bw.balanced(bw.Groups.combine(KINDS, LENGTHS), 8).fingerprint
    assert bw.shuffled(kinds, 4).fingerprint == bw.shuffled(8, 4).fingerprint


@pytest.mark.parametrize("hidden", ["", "pyarrow"])
@pytest.mark.parametrize("bad", ["n/a", "nan", "NaN", "inf", " 3", "007", "1_000", "1,5", "0x10"])
def test_the_first_value_that_is_no_number_is_named_with_its_row(tmp_path, monkeypatch, bad, hidden):
    path = tmp_path / "lengths.csv"
    path.write_text("n,w\n" + "".join(f"{number},2.5\n" for number in range(1, 1001)) + f'"{bad}",1\n2,1\nx,1\n')
    if hidden:
        monkeypatch.setitem(sys.modules, hidden, None)
    column = bw.Column(path, "n")
    for refused in (
        lambda: bw.budgeted(column, 2000),
        lambda: bw.weighted(column, 4),
        lambda: bw.bucketed(column, 4),
        lambda: describe_files(str(path), None, "n", []),
    ):
        with pytest.raises(bw.Infeasible, match=f" at (sample|position) 1000 is '{bad}', of type str, numbers are"):
            refused()
    if hidden:
        return
    for engine in ("duckdb", "polars", "pyarrow"):
        with pytest.raises(bw.Infeasible, match=f"lengths.csv' is '{bad}' at row 1000, which is no number"):
            bw.index(path, path=tmp_path / "made", length="n", engine=engine)


def test_missing_values_do_not_move_the_row_of_a_value_that_is_no_number(tmp_path):
    path = tmp_path / "lengths.csv"
    path.write_text("n,w\n,1\n2,\n,3\nn/a,4\n")
    with pytest.raises(bw.Infeasible, match="column 'n' at sample 3 is 'n/a'"):
        describe_files(str(path), None, "n", [])
    found = describe_files(str(path), None, "w", [])["lengths"]
    assert (found["missing"], found["total"]) == (1, 8.0)


def test_the_values_of_a_column_in_which_some_are_missing_are_given(tmp_path):
    (tmp_path / "x.csv").write_text("k,n\na,1\n,2\nb,\n")
    column, numbers = bw.Column(tmp_path / "x.csv", "k"), bw.Column(tmp_path / "x.csv", "n")
    assert ([*column], [*numbers]) == (["a", None, "b"], [1, 2, None])
    assert (column[1:], numbers[[0, 2]]) == ([None, "b"], [1, None])


TYPED = {
    "bool, int": ([True, False], [0, 7]),
    "int, bool": ([0, 7], [True, False]),
    "bool, float": ([True, False], [0.0, 7.0]),
    "int, text": ([1, 2], ["1", "07"]),
    "text, int": (["1", "2"], [1, 7]),
    "text, float": (["1", "2"], [1.5, 7.0]),
    "bool, text": ([True, False], ["true", "no"]),
    "int, float": ([1, 2], [1.5, 2.0]),
    "float, int": ([1.5], [1]),
    "widths of integers": (np.array([1], np.int8), np.array([1000]), np.array([7], np.uint64)),
    "signed": (np.array([2**50], np.uint64), np.array([-1])),
    "widths of floats": (np.array([0.1], np.float32), np.array([0.1, 0.2])),
    "floats narrowed": (np.array([0.1, 0.2]), np.array([0.1], np.float32)),
    "widths of text": (["a"], ["bcd", "a"]),
    "types of text": (pyarrow.array(["a"]), pyarrow.array(["b", "a"], pyarrow.large_string())),
    "no rows": (pyarrow.array([], pyarrow.int64()), pyarrow.array(["a", "b"])),
    "dictionaries": (pyarrow.array(["b", "a"]).dictionary_encode(), pyarrow.array(["c"])),
}


def told(read):
    """What a reading gives, or that it is refused; of several types, which they are."""
    try:
        return read()
    except bw.Infeasible as refused:
        return "refused", refused.fact.partition("of several types: ")[2]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "npy", "pt", "jsonl"])
@pytest.mark.parametrize("name", TYPED)
def test_files_of_several_types_are_read_as_an_index_reads_them(tmp_path, name, kind):
    (tmp_path / "data").mkdir()
    for number, values in enumerate(TYPED[name]):
        path, array = tmp_path / "data" / f"{number}.{kind}", pyarrow.array(values)
        if kind in ("parquet", "arrow"):
            held = pyarrow.table({"k": array})
            pyarrow.parquet.write_table(held, path) if kind == "parquet" else pyarrow.feather.write_feather(held, path)
        elif kind == "jsonl":
            if not array:
                return  # such a file has no columns
            path.write_text("".join(json.dumps({"k": value}) + "\n" for value in array.to_pylist()))
        elif isinstance(values, pyarrow.Array) or (kind == "pt" and isinstance(values[0], str)):
            return  # there are no such arrays
        else:
            torch.save({"k": torch.tensor(values)}, path) if kind == "pt" else np.save(path, values)

    def index(**role):
        return bw.index(tmp_path / "data", path=tmp_path / "made", **role)

    def column():
        return bw.Column(tmp_path / "data", "k")

    found, wanted = told(lambda: bw.Groups.from_labels(column())), told(lambda: index(label="k").groups())
    if isinstance(wanted, bw.Groups):
        assert (found.names, found.digest) == (wanted.names, wanted.digest)
        assert column().digest == index(label="k").labels.digest
    else:
        assert found == wanted
    found = told(lambda: bw.budgeted(column(), 2**51).fingerprint)
    wanted = told(lambda: bw.budgeted(index(length="k").lengths, 2**51).fingerprint)
    assert found == wanted or found[0] == wanted[0] == "refused"


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_later_file_without_the_column_is_refused(tmp_path, kind):
    for name in ("k", "other"):
        held = pyarrow.table({name: [1, 2]})
        path = tmp_path / f"{name}.{kind}"
        pyarrow.parquet.write_table(held, path) if kind == "parquet" else pyarrow.feather.write_feather(held, path)
    with pytest.raises(bw.Infeasible, match=r"other\.\w+' has no column 'k', it has other"):
        len(bw.Column(tmp_path, "k"))
