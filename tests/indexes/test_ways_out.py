"""Every refusal of indexes: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import batchwright as bw
from batchwright.files.folder import CheckSum, sealed

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .data import table, write

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

FILES = [*sorted((SOURCE / "indexes").glob("*.py")), SOURCE / "files" / "folder.py"]
FOLDER = Path(tempfile.mkdtemp())
DATA = FOLDER / "data.parquet"
write(DATA, table(20))
write(FOLDER / "other.csv", table(20))


class Samples:
    """A dataset of its own numbers."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, sample):
        return sample


(FOLDER / "images" / "cat").mkdir(parents=True)
(FOLDER / "images" / "cat" / "1.png").write_bytes(b"")
IMAGES = FOLDER / "images"


def remote(*endings, of="memory://ways/a.csv"):
    """An index of files in memory, which are all CSV whatever their names end in."""

    def call():
        system = fsspec.filesystem("memory")
        system.rm("/ways", recursive=True) if system.exists("/ways") else None
        for ending in endings or ("csv",):
            system.pipe(f"/ways/a.{ending}", b"kind\ncat\ndog\n")
        return made(of)()

    return call


def made(source=DATA, *, path="made", **named):
    """An index in a new folder."""

    def call():
        if not path.startswith("kept"):
            shutil.rmtree(FOLDER / path, ignore_errors=True)
        return bw.index(source, path=FOLDER / path, **({"label": "kind"} | named))

    return call


GOOD = made()


def lines(*values, name="k", engine="duckdb"):
    """An index of JSON lines with these values."""

    def call():
        path = FOLDER / "values.jsonl"
        path.write_text("\n".join(json.dumps({name: value}) for value in values))
        shutil.rmtree(FOLDER / "of lines", ignore_errors=True)
        return bw.index(path, path=FOLDER / "of lines", label=name, engine=engine)

    return call


def numbers(*values, kind=None, role="length"):
    """An index of numbers in a Parquet file."""

    def call():
        pyarrow.parquet.write_table(pyarrow.table({"n": pyarrow.array(values, kind)}), FOLDER / "numbers.parquet")
        shutil.rmtree(FOLDER / "of numbers", ignore_errors=True)
        return bw.index(FOLDER / "numbers.parquet", path=FOLDER / "of numbers", **{role: "n"})

    return call


def opened(change=lambda folder: None, **named):
    """Open an index after a change of its files."""

    def call():
        change(GOOD().path)
        return bw.Index.open(FOLDER / "made", **named)

    return call


def meta(**changed):
    def change(folder):
        told = json.loads((folder / "meta.json").read_text()) | changed
        (folder / "meta.json").write_text(json.dumps(told if "seal" in changed else sealed(told)))

    return change


def swapped(folder):
    """Groups that are no groups, with a checksum that fits."""
    np.save(folder / "0.starts.npy", np.array([0, 50, 10, 15, 20]))
    told = json.loads((folder / "meta.json").read_text())
    told["files"]["0.starts.npy"] = CheckSum.of(folder / "0.starts.npy").as_json()
    (folder / "meta.json").write_text(json.dumps(sealed(told)))


def touched(folder):
    write(DATA, table(21))


def gone(folder):
    DATA.rename(FOLDER / "gone.parquet")


def back():
    write(DATA, table(20))
    return GOOD()


def not_installed(library, engine):
    def call():
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == library}
        sys.modules[library] = None
        try:
            return made(engine=engine)()
        finally:
            del sys.modules[library]
            sys.modules.update(hidden)

    return call


def damaged():
    (FOLDER / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    return made(FOLDER / "bad.parquet")()


def cut_short():
    content = DATA.read_bytes()
    (FOLDER / "bad.parquet").write_bytes(content[:100] + bytes(200) + content[300:])
    return made(FOLDER / "bad.parquet", engine="pyarrow")()


def empty():
    write(FOLDER / "empty.parquet", {name: [] for name in table(1)})
    return made(FOLDER / "empty.parquet")()


def folder_that_is_none():
    (FOLDER / "kept").mkdir(exist_ok=True)
    return made(path="kept")()


def long_integers():
    pyarrow.parquet.write_table(pyarrow.table({"kind": [1, 2**60]}), FOLDER / "long.parquet")
    return made(FOLDER / "long.parquet")()


def sent(change):
    """A plan of an index that is sent to another process, and the index changed on the way."""

    def call():
        plan = pickle.dumps(bw.balanced(back(), 2))
        change()
        return pickle.loads(plan)

    return call


def written_again():
    touched(0)
    GOOD()


def long_name(path):
    return lambda: bw.index(DATA, path=FOLDER / path, label="kind")


def of_array(*shape):
    np.save(FOLDER / "shaped.npy", np.zeros(shape, np.int64))
    return made(FOLDER / "shaped.npy")()


def empty_line(engine, line=""):
    def call():
        (FOLDER / "line.csv").write_text(f"kind\na\n{line}\nb\n")
        return made(FOLDER / "line.csv", engine=engine)()

    return call


CASES = cases("refuse message follow", {
    # the source
    "source": (made([3]), "the source of an index is of type list; pass a path", GOOD),
    "no paths": (made([]), "a list of 0 paths", GOOD),
    "kinds": (made([DATA, FOLDER / "other.csv"]), "files of several kinds: csv, parquet; make an index of each kind",
        GOOD),
    "twice": (made([DATA, DATA]), "is named twice; name every file once", made([DATA])),
    "index": (lambda: made(GOOD().path, path="of index")(), "is an index already; open it",
        lambda: bw.Index.open(GOOD().path)),
    "options": (made(storage_options={"anon": True}), "storage_options are given for", GOOD),
    "no such URL": (made("memory://nowhere/a.csv"), "has no data files; pass the URL", remote()),
    "protocol": (made("nothing://a"), "cannot be read: ValueError", remote()),
    "kinds of a URL": (remote("csv", "parquet", of="memory://ways"), "files of several kinds: csv, parquet; pass a pattern",
        remote("csv", "parquet", of="memory://ways/*.csv")),
    "images of a URL": (remote("png", of="memory://ways"), "has files of the kind images; copy them",
        made(IMAGES, label="class")),
    "damaged URL": (remote("parquet", of="memory://ways/a.parquet"), "cannot be read", remote()),
    # reading it
    "no column": (made(label="color"), "has no column 'color', it has kind, year, n, w; pass one of these", GOOD),
    "misspelt column": (made(label="kidn"), "pass one of these names (did you mean 'kind'?)", GOOD),
    "damaged": (damaged, "cannot be read", GOOD),
    "cut short": (cut_short, "cannot be read", GOOD),
    "duckdb": (not_installed("duckdb", "duckdb"),
        "engine='duckdb' needs duckdb, which is not installed; run pip install",
        made(engine="pyarrow")),
    "polars": (not_installed("polars", "polars"), "engine='polars' needs polars, which is not", made(engine="pyarrow")),
    "spark": (not_installed("pyspark", "spark"), "engine='spark' needs pyspark, which is not installed; run pip",
        made(engine="pyarrow")),
    "engine": (made(engine="dask"), "engine is 'dask'; pass 'duckdb', 'polars', 'pyarrow', 'ray' or 'spark'",
        made(engine="polars")),
    # values
    "null label": (lines("a", None), "column 'k' has no value at row 1 of", lines("a", "b")),
    "null of polars": (lines("a", None, engine="polars"), "has no value at row 1 of", lines("a", "b", engine="polars")),
    "type": (lines("a", [1]), "is of type 'list'; use labels that are numbers or text", lines("a", "b")),
    "lists": (numbers([1], [2, 3], role="label"), "is of type 'list<", numbers(1, 2, role="label")),
    "types": (lines("a", 1), "are of several types: int, text; use one type", lines("a", "1")),
    "infinite": (lines(1.0, float("inf")), "a label in column 'k' is inf", lines(1.0, 2.0)),
    "long integers": (long_integers, "a label in column 'kind' is 1152921504606846976", GOOD),
    "null length": (numbers(1, None), "column 'n' has no value at row 1 of", numbers(1, 2)),
    "NaN": (numbers(1.0, float("nan")), "has no value at row 1 of", numbers(1.0, 2.0)),
    "NaN weight": (numbers(float("nan"), role="weight"), "has no value at row 0 of", numbers(1.0, role="weight")),
    "text": (numbers("a", "b"), "is of type string, numbers are needed; pass the name of a column of numbers",
        numbers(1, 2)),
    "text of CSV": (made(FOLDER / "other.csv", length="kind"), "at row 0, which is no number; write a number in every row, "
        "or pass the name of a column of numbers", made(FOLDER / "other.csv", length="n")),
    "too large": (numbers(1, 2**60), "is 1152921504606846976 at row 1 of", numbers(1, 2**50)),
    "infinite length": (numbers(1.0, float("inf")), "is inf at row 1 of", numbers(1.0, 2.0)),
    "no rows": (empty, "the files have 0 rows; pass files of at least one row", GOOD),
    # arguments
    "path": (lambda: bw.index(DATA, path=3, label="kind"), "path is of type int; pass the folder", GOOD),
    "a zero byte": (lambda: bw.index(DATA, path="\0", label="kind"), "zero byte in the path); pass the path of a new", GOOD),
    "no index there": (folder_that_is_none, "is there already, and is no index; pass the path of a new", GOOD),
    "no folder": (lambda: bw.index(DATA, path=FOLDER / "a" / "b", label="kind"), "there is no folder", GOOD),
    "no such name": (long_name("x" * 250), "File name too long", GOOD),
    "a file in the way": (lambda: ((FOLDER / "way.partial").touch(), made(path="way")()), "File exists", GOOD),
    "by": (made(by="year"), "by is 'year'; pass a list of names", made(by=["year"])),
    "name": (made(length=3), "length is 3, no name of a column", made(length="n")),
    "nothing": (made(label=None), "the index has no columns; pass label=", GOOD),
    "by of a dataset": (made(Samples(3), label=int, by=["k"]), "by is ['k']; pass functions by name", made(Samples(3),
        label=int, by={"k": str})),
    "label in by": (made(Samples(3), label=int, by={"label": str}), "by has the name 'label', which is an argument of its",
        made(Samples(3), label=int, by={"another": str})),
    "None in by": (made(Samples(3), by={"k": None}, label=None), "k is None; pass a function",
        made(Samples(3), by={"k": str}, label=None)),
    "no function": (made(Samples(3), label=2.5), "label is 2.5; pass a function", made(Samples(3), label=int)),
    "no samples": (made(Samples(0), label=int), "the dataset is empty: it has 0 samples", made(Samples(1), label=int)),
    "every one raised": (made(Samples(3), label="x"), "every sample raised, the first of them TypeError",
        made(Samples(3), label=int)),
    "no value": (made(Samples(3), label=lambda sample: [[sample], "a"]), "label of the samples is of type list, such as [",
        made(Samples(3), label=int)),
    "None": (made(Samples(3), label={0: 1, 1: 2}.get), "label of sample 2 is None, which is no value; pass a function that",
        made(Samples(3), label=int)),
    "NaN of a function": (made(Samples(3), label=None, length=lambda sample: float("nan") if sample else 1.0),
        "length of sample 1 is nan, which is no value; pass a function that returns one number for each sample as length",
        made(Samples(3), label=None, length=float)),
    "a list": (made(Samples(3), label=lambda sample: [sample]), "label of the samples is of type list, such as [0]; pass a",
        made(Samples(3), label=int)),
    "text as length": (made(Samples(3), label=None, length=str), "length of the samples is of type str, such as '0'; pass a",
        made(Samples(3), label=None, length=int)),
    "None as source": (made(None, label=int), "neither a dataset with a length nor a whole number; pass the paths of",
        made(Samples(3), label=int)),
    "a number as source": (made(5, label=int), "source is 5, which has no samples; pass the paths of data files, or",
        made(Samples(3), label=int)),
    "two dimensions": (lambda: of_array(3, 2), "has shape 3 x 2, one value a sample is needed; pass a one-dimensional",
        lambda: of_array(3)),
    **{f"empty line of {engine}": (empty_line(engine), "column 'kind' has no value at row 1 of", empty_line(engine, "a"))
       for engine in ("duckdb", "polars", "pyarrow")},
    "workers": (made(Samples(3), label=int, num_workers=-1), "num_workers is -1", made(Samples(3), label=int)),
    "no column of images": (made(IMAGES, label="color"), "an index of images has no column 'color', it has class,",
        made(IMAGES, label="class")),
    # an opened index
    "no lengths": (lambda: GOOD().lengths, "has no lengths, it has kind; write it again with length=",
        lambda: made(length="n")().lengths),
    "groups of numbers": (lambda: made(length="n")().groups("n"),
        "holds column 'n' as numbers; write it again with by=['n']",
        lambda: made(length="n", by=["n"])().groups("n")),
    "sent": (sent(written_again), "was written again since this was sent; make the plan again from the index", sent(GOOD)),
    "sent and removed": (sent(lambda: shutil.rmtree(FOLDER / "made")), "there is no index at", sent(GOOD)),
    "no such column": (lambda: GOOD().column("n"), "has no column 'n', it has kind; pass one of these",
        lambda: GOOD().column("kind")),
    "where a table is": (lambda: GOOD().where([[3]]), "samples have 2 dimensions; pass their numbers as a list",
                         lambda: GOOD().where([3])),
    "where": (lambda: GOOD().where([3, 20]), "samples 3 to 20 asked for, the index has 20", lambda: GOOD().where([3,
        19])),
    # on disk
    "no index": (lambda: bw.Index.open(FOLDER / "none"), "there is no index at", opened()),
    "meta": (opened(lambda folder: (folder / "meta.json").write_text("{")), "meta.json of", opened()),
    "no number as version": (opened(meta(batchwright_index=True)), "is of version True, this batchwright reads 1", opened()),
    "version": (opened(meta(batchwright_index=2)), "is of version 2, this batchwright reads 1", opened()),
    "seal": (opened(meta(samples=5, seal="0")), "is not as it was written; remove the folder", opened()),
    "truncated": (opened(lambda folder: (folder / "0.codes.npy").write_bytes(b"")),
        "has 0 bytes, it was written with", opened()),
    "flipped": (opened(lambda folder: (folder / "0.codes.npy").write_bytes(
        (folder / "0.codes.npy").read_bytes()[:-1] + b"\1")), "its checksum differs; remove the folder", opened()),
    "no groups": (lambda: opened(swapped)().groups(), "are no index; remove the folder", lambda: opened()().groups()),
    "changed": (opened(touched), "changed since the index", back),
    "gone": (opened(gone), "is not there; pass source=",
        lambda: (back(), gone(0), bw.Index.open(FOLDER / "made", source=None), back())),
})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(name):
    told_and_followed(CASES[name])


def test_every_refusal_has_a_case():
    check_that_all_are_reached(FILES, 25, [CASES])
