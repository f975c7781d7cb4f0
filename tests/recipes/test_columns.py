"""Columns of files: the same values and the same fingerprint from every kind of file."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import batchwright as bw

from .data import KINDS, LENGTHS, WEIGHTS, every_kind, images

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


def test_images_are_labelled_by_their_folder_in_the_order_of_torchvision(tmp_path):
    column = bw.Column(images(tmp_path))
    assert np.asarray(column).tolist() == ["cat", "cat", "dog"]
    assert bw.Column.names(tmp_path / "images") == ["class"]


def test_a_column_is_a_column_wherever_one_is_asked_for(tmp_path):
    paths = every_kind(tmp_path)
    kinds, lengths, weights = (bw.Column(paths["parquet"], name) for name in ("kind", "n", "w"))
    assert bw.balanced(kinds, 4).fingerprint == bw.balanced(KINDS, 4).fingerprint
    assert bw.budgeted(lengths, 16).fingerprint == bw.budgeted(LENGTHS, 16).fingerprint
    assert bw.weighted(weights, 2).fingerprint == bw.weighted(WEIGHTS, 2).fingerprint
    both = bw.Groups.combine(kinds, lengths)
    assert bw.balanced(both, 8).fingerprint == bw.balanced(bw.Groups.combine(KINDS, LENGTHS), 8).fingerprint
    assert bw.shuffled(kinds, 4).fingerprint == bw.shuffled(8, 4).fingerprint
