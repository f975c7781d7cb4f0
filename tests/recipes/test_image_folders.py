"""Folders of images: the order and the classes of torchvision's `ImageFolder`, whatever lies in them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.files.paths import files_of

from .data import images

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
FOLDERS = st.sampled_from(["a", "b", "B", "a-b", "a.b", "é"])
FILES = st.sampled_from(["1.png", "10.png", "2.JPG", "a.webp", "B.png", ".png", "b.png.txt", "notes"])
TREES = st.sets(st.tuples(st.lists(FOLDERS, max_size=3).map(tuple), FILES), min_size=1, max_size=20)


def of_torchvision(root):
    """The samples of `torchvision.datasets.ImageFolder`: path and class. Torchvision's walk, written out."""
    found = []
    for name in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        for folder, _, files in sorted(os.walk(os.path.join(root, name), followlinks=True)):
            found += [(os.path.join(folder, file), name) for file in sorted(files) if file.lower().endswith(ENDINGS)]
    return found


def planted(root, names):
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return Path(root)


def check(root):
    wanted = of_torchvision(root)
    assert [str(file) for file in files_of(str(root))] == [path for path, _ in wanted]
    assert [*bw.Column(root)] == [name for _, name in wanted]
    return wanted


@given(TREES)
def test_images_have_the_order_and_the_classes_of_image_folder(tree):
    with tempfile.TemporaryDirectory() as folder:
        root = planted(folder, ["a/1.png", *("/".join([*folders, name]) for folders, name in tree)])
        check(root)


NESTED = [
    "cat/z.png",
    "cat/b/1.png",
    "cat/b/2.png",
    "cat/b-c/1.png",
    "dog/a.png",
    "dog/y.png",
    "dog/c/1.png",
    "loose.png",
]


@pytest.mark.parametrize("as_list", [False, True])
def test_an_index_numbers_the_images_of_nested_folders_as_a_column_does(tmp_path, as_list):
    root = planted(tmp_path / "images", NESTED)
    wanted = check(root)
    index = bw.index([root] if as_list else root, path=tmp_path / "made", label="class", length="bytes")
    assert [(str(root / file), label) for file, label in zip(index.files, index.labels, strict=True)] == wanted
    assert bw.balanced(index, 4).fingerprint == bw.balanced(bw.Column(root), 4).fingerprint
    again = bw.index([root] if as_list else root, path=tmp_path / "made", label="class", length="bytes")
    assert [*again.labels] == [*index.labels]


def test_links_to_folders_are_followed_and_images_beside_class_folders_are_none(tmp_path):
    planted(tmp_path / "elsewhere", ["1.png", "in/2.png"])
    root = planted(tmp_path / "images", ["loose.png"])
    (root / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [name for _, name in check(root)] == ["cat", "cat"]
    planted(root, ["dog/1.png"])
    (root / "dog" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [name for _, name in check(root)] == ["cat", "cat", "dog", "dog", "dog"]
    assert len(bw.index(root, path=tmp_path / "made", label="class")) == 5


def test_a_folder_of_images_without_class_folders_is_one_class(tmp_path, monkeypatch):
    root = planted(tmp_path / "images", ["2.png", "1.png"])
    monkeypatch.chdir(root)
    for path in (root, ".", "*.png", str(root / "*")):
        assert [*bw.Column(path)] == ["images", "images"], path
    index = bw.index(".", path=tmp_path / "made", label="class")
    assert [*index.labels] == ["images", "images"]
    assert index.files == ["1.png", "2.png"]


def test_images_of_a_pattern_have_the_class_of_the_folder_that_they_are_in(tmp_path):
    root = planted(tmp_path / "images", NESTED)
    for pattern in ("*/**/*.png", "[cd]*"):
        assert [*bw.Column(root / pattern)] == ["b", "b", "b-c", "cat", "dog", "c", "dog"]
        index = bw.index(str(root / pattern), path=tmp_path / "made", label="class")
        assert [*index.labels] == [*bw.Column(root / pattern)]


def test_the_fingerprint_of_a_flat_folder_of_images_holds(tmp_path):
    column = bw.Column(images(tmp_path))
    assert np.asarray(column).tolist() == ["cat", "cat", "dog"]
    assert bw.Column.names(tmp_path / "images") == ["class"]
    assert column.digest == "faea564c1af101784860a21a267a57bc"
