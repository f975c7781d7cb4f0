"""Every refusal of recipes and of columns of files: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

import batchwright as bw
from batchwright import recipes
from batchwright.files import paths
from batchwright.index_files import write_index

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .data import KINDS, table

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

FILES = [
    *sorted(set((SOURCE / "files").glob("*.py")) - {SOURCE / "files" / "folder.py"}),
    SOURCE / "recipes.py",
    SOURCE / "index_files.py",
]
FOLDER = Path(tempfile.mkdtemp())
GOOD = {"batchwright": 1, "plan": "shuffled", "arguments": {"samples": 10, "batch_size": 4}}
LABELS = {"column": "kind", "in": "table.csv"}


def written(name, content):
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def column(name, content="kind\na\nb\n", of="kind"):
    return lambda: len(bw.Column(written(name, content), of))


def names(name, content):
    return lambda: bw.Column.names(written(name, content))


def made(**changed):
    return lambda: bw.from_recipe({**GOOD, **changed}, root=FOLDER)


def balanced(labels, **more):
    return made(plan="balanced", arguments={"labels": labels, "batch_size": 2, **more})


def read(name, content):
    return lambda: bw.from_recipe(written(name, content))


def of_parquet():
    table(FOLDER)
    pyarrow.parquet.write_table(pyarrow.table({"kind": KINDS}), FOLDER / "t.parquet")
    return len(bw.Column(FOLDER / "t.parquet", "kind"))


def linked(name, to=None):
    """A folder of images, with a link of a class folder if it says where to."""
    link = FOLDER / name / "cat" / ("link" if to == "." else "link.png")
    written(f"{name}/cat/1.png", b"")
    link.unlink(missing_ok=True)
    if to is not None:
        link.symlink_to(to)
        return len(bw.Column(FOLDER / name))
    (FOLDER / name / "cat" / "link").unlink(missing_ok=True)
    return len(bw.Column(FOLDER / name))


def without_pyarrow():
    of_parquet()
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "pyarrow"}
    sys.modules["pyarrow"] = None
    try:
        return len(bw.Column(FOLDER / "t.parquet", "kind"))
    finally:
        sys.modules.update(hidden)


def saved(state):
    return lambda: len(bw.Column(written("saved/state.json", state).parent, "kind"))


def no_arrow():
    saved_well()
    written("saved/data.arrow", b"not arrow")
    return len(bw.Column(FOLDER / "saved", "kind"))


def saved_well():
    columns = pyarrow.table({"kind": KINDS})
    (FOLDER / "saved").mkdir(exist_ok=True)
    with (
        pyarrow.OSFile(str(FOLDER / "saved" / "data.arrow"), "wb") as sink,
        pyarrow.ipc.new_stream(sink, columns.schema) as out,
    ):
        out.write_table(columns)
    return saved(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))()


def tensors(name, content):
    def load():
        if isinstance(content, bytes):
            written(name, content)
        else:
            torch.save(content, FOLDER / name)
        return len(bw.Column(FOLDER / name, "kind"))

    return load


def folder(*names):
    for name in names:
        written(name, "kind\na\n")
    return len(bw.Column(FOLDER / names[0].split("/")[0], "kind"))


def changed():
    table(FOLDER)
    recipe = bw.balanced(bw.Column(FOLDER / "table.csv", "kind"), 2).to_recipe()
    recipe["arguments"]["labels"]["digest"] = "0"
    return bw.from_recipe(recipe)


def index_of(labels):
    return write_index(FOLDER / "r.json", {"labels": labels}, FOLDER)


def with_table(function):
    def follow():
        table(FOLDER)
        return function()

    return follow


ARRAY = np.arange(3)
np.save(FOLDER / "good.npy", ARRAY)
np.save(FOLDER / "objects.npy", np.array([{}, []], object), allow_pickle=True)
DEEP: object = 1
for _ in range(30):
    DEEP = [DEEP]

CASES = cases("refuse message follow", {
    # paths
    "address": (lambda: len(bw.Column("s3://b/x.csv", "kind")),
        "'s3://b/x.csv' is an address of a network; pass the path of a "
        "file", column("x.csv")),
    "no match": (lambda: len(bw.Column(FOLDER / "none*.csv", "kind")), "no file matches", column("x.csv")),
    "no file": (lambda: len(bw.Column(FOLDER / "none.csv", "kind")), "there is no file", column("x.csv")),
    "braces": (lambda: len(bw.Column(FOLDER / "{0..9}.csv", "kind")),
        "such as 'data/*.csv'; braces are not expanded", column("x.csv")),
    "empty folder": (lambda: ((FOLDER / "empty").mkdir(exist_ok=True), len(bw.Column(FOLDER / "empty", "kind"))),
        "has no data files; pass a folder of .csv", lambda: folder("full/x.csv")),
    "link in a circle": (lambda: linked("circle", "."), "circle/cat/link' is a link to a folder that it is in, so its "
        "images have no end; remove the link", lambda: linked("circle")),
    "link to nothing": (lambda: linked("nothing", "gone.png"), "nothing/cat/link.png' is a link to no file; remove the link",
        lambda: linked("nothing")),
    "kinds": (lambda: folder("both/x.csv", "both/x.jsonl"),
        "has files of several kinds: csv, lines; pass files of one kind",
        lambda: folder("one/x.csv")),
    "ending": (column("x.xls"), "ends in '.xls'; pass a file of .csv", column("x.csv")),
    "name": (lambda: bw.Column("x.csv", 3), "the name of a column is 3; pass it as text", column("x.csv")),
    # readers
    "no column": (column("x.csv", of="label"), "has no column 'label', it has kind; pass one of these names",
        column("x.csv")),
    "no column of tensors": (tensors("b.pt", {"a": torch.ones(2), "b": torch.ones(2)}),
        "has no column 'kind', it has a, b; pass",
        tensors("b.pt", {"kind": torch.ones(2)})),
    "column twice": (column("t.csv", "kind,n,kind\na,1,b\n"),
        "has 2 columns 'kind'; write the file again, every column by another name", column("t.csv", "kind,n,sort\na,1,b\n")),
    "key twice": (column("t.jsonl", '{"kind": 1}\n{"kind": 1, "n": {"kind": 2}, "kind": 3}\n'),
        "has 2 columns 'kind'", column("t.jsonl", '{"kind": 1}\n{"kind": 1, "n": {"kind": 2, "a": 1, "a": 2}}\n')),
    "uneven": (column("u.csv", "kind,n\na\nb,2\n"), "has 1 values, there are 2 columns; write one value", column("u.csv",
        "kind,n\na,1\nb,2\n")),
    "no columns": (names("empty.csv", ""), "has no columns; pass a file that has the names of its columns",
        names("one.csv", "kind\n")),
    "not UTF-8": (column("l.csv", "kind\ncaf\xe9\n".encode("latin-1")), "cannot be read: UnicodeDecodeError",
        column("l.csv", "kind\ncaf\xe9\n")),
    "lines not UTF-8": (column("l.jsonl", '{"kind": "\xe9"}'.encode("latin-1")), "cannot be read: UnicodeDecodeError",
        column("l.jsonl", '{"kind": "\xe9"}')),
    "types": (column("x.jsonl", '{"kind": "a"}\n{"kind": 1}'), "column 'kind' are of several types: int, text; use one type",
        column("x.jsonl", '{"kind": "a"}\n{"kind": "1"}')),
    "no parquet": (column("l.parquet", b"not parquet"), "cannot be read: ArrowInvalid", of_parquet),
    "no arrow": (no_arrow, "cannot be read: ArrowInvalid", saved_well),
    "no JSON": (column("x.jsonl", "{"), "line 1 of", column("x.jsonl", '{"kind": "a"}')),
    "no object": (column("y.jsonl", "[1]"), "is [1]; write one JSON object a line, in UTF-8",
        column("y.jsonl", '{"kind": "a"}')),
    "objects": (lambda: len(bw.Column(FOLDER / "objects.npy")), "cannot be read: ValueError: Array can",
        lambda: len(bw.Column(FOLDER / "good.npy"))),
    "pickled": (tensors("p.pt", b"\x80\x04N."), "cannot be read", tensors("p.pt", {"kind": torch.ones(2)})),
    "no pyarrow": (without_pyarrow, "reading this file needs pyarrow", of_parquet),
    "damaged": (saved("{}"), "cannot be read: KeyError", saved_well),
    "leads out": (saved(json.dumps({"_data_files": [{"filename": "../x.arrow"}]})),
        "names the files ['../x.arrow']", saved_well),
    # recipes
    "fingerprint": (made(fingerprint="0"), "the recipe says '0'; undo the change",
        lambda: bw.from_recipe({**GOOD, "fingerprint": "0"},
        check=False)),
    "run": (made(run={"ranks": 8}), "the recipe's run is {'ranks': 8}", made(run={"world_size": 8, "accumulate": 1})),
    "no recipe at all": (lambda: bw.from_recipe(5), "this is no recipe: 5; pass what plan.to_recipe() gave", made()),
    "no recipe": (lambda: bw.from_recipe({"plan": "shuffled"}), "this is no recipe", made()),
    "version": (made(batchwright=2), "is of version 2, this batchwright reads version 1", lambda: bw.shuffled(10,
        4).to_recipe()),
    "no number as version": (made(batchwright=True), "is of version True, this batchwright reads version 1",
        lambda: bw.shuffled(10, 4).to_recipe()),
    "key": (made(code="import os"), "has the unknown key 'code'; use arguments, batchwright", made()),
    "plan": (made(plan=3), "the recipe's plan is 3; write one of alternating", made()),
    "data file": (lambda: bw.from_recipe(FOLDER / "good.npy"), "good.npy' is a data file (npy), not a recipe; pass the JSON",
        made()),
    # up to Python 3.13 the system refuses the name; from 3.14 on it is one that is not there
    "no path": (lambda: bw.from_recipe("x" * 10_000), "'xxx", read("good.json", json.dumps(GOOD))),
    "no such file": (lambda: bw.from_recipe(FOLDER / "no.json"), "there is no recipe", read("good.json",
        json.dumps(GOOD))),
    "large": (read("large.json", " " * (1 << 22) + "{}"), "a recipe has 4194304 at most", read("good.json",
        json.dumps(GOOD))),
    "parsed": (read("bad.json", '{"a": 1, "a": 2}'), "a key stands twice among a, a", read("good.json",
        json.dumps(GOOD))),
    "unknown plan": (made(plan="os.system"), "the recipe names the plan 'os.system'; write one of", made()),
    "arguments": (made(arguments=[1]), "the arguments of shuffled are [1]; write them by name", made()),
    "argument": (made(arguments={"samples": 3, "size": 1}), "shuffled has no argument 'size'; use samples", made()),
    "missing": (made(arguments={"samples": 3}), "shuffled needs the argument 'batch_size'; write it too", made()),
    "deep": (balanced(DEEP), "more than 20 levels deep; keep data in files", with_table(balanced(LABELS))),
    "value": (balanced({"python": "1"}), "the recipe holds {'python': '1'}; write a number", balanced(KINDS)),
    "map": (balanced(KINDS, target={"map": {"cat": 1}}), "a map of the recipe is {'cat': 1}",
        balanced(["cat", "dog"], target={"map": [["cat", 0.5], ["dog", 0.5]]})),
    "list as name": (balanced(KINDS, target={"map": [[["cat"], 1]]}), 'is a list; write {"tuple"',
        balanced([{"tuple": ["cat", 1]}], target={"map": [[{"tuple": ["cat", 1]}, 1]]})),
    "twice": (balanced(KINDS, target={"map": [["cat", 0.5], ["cat", 0.5]]}), "a name stands twice in", balanced(KINDS)),
    "array": (made(plan="bucketed", arguments={"shapes": {"array": [[1, 2], [3]]}, "batch_size": 1}),
        "an array of the recipe is",
        made(plan="bucketed", arguments={"shapes": {"array": [[1, 2], [3, 1]]}, "batch_size": 1})),
    "tuple": (balanced({"tuple": 3}), "the recipe holds 3 where a list is needed", balanced({"tuple": [3, 3]})),
    "fraction": (balanced(KINDS, target={"fraction": 3}), "a fraction of the recipe is 3", balanced(KINDS,
        target={"fraction": [1, 3]})),
    "column": (balanced({"column": 3}), "a column of the recipe is {'column': 3}", with_table(balanced(LABELS))),
    "changed": (changed, "the data changed: column 'kind'", lambda: bw.balanced(bw.Column(FOLDER / "table.csv",
        "kind"), 2).to_recipe()),
    "unknown part": (balanced({**LABELS, "code": 1}), "the recipe has the unknown key 'code' in",
        with_table(balanced(LABELS))),
    # the index
    "index of a list": (lambda: index_of(KINDS), "an index is of labels in a file", with_table(lambda: index_of(LABELS))),
})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(name):
    told_and_followed(CASES[name])


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("row", "text"), [(0, "kind,n\na\nb,2\n"), (1, "kind,n\nb,2\na\n"), (2, "kind,n\na,1\nb,2\na,3,4\n")]
)
def test_a_row_of_another_width_is_refused_by_its_number(monkeypatch, hidden, row, text):
    if hidden:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        bw.Infeasible, match=rf"row {row} of .* has . values, there are 2 columns; write one value for every"
    ):
        column("u.csv", text)()


@pytest.mark.parametrize("name", ["marked.json", "marked.toml"])
def test_a_recipe_with_the_mark_of_utf_8_is_read(name):
    text = {"json": json.dumps(GOOD), "toml": 'batchwright=1\nplan="shuffled"\n[arguments]\nsamples=10\nbatch_size=4\n'}
    content = b"\xef\xbb\xbf" + text[name.split(".")[1]].encode()
    assert read(name, content)().fingerprint == bw.from_recipe(GOOD).fingerprint


def twice(name):
    """A file with two columns of one name and a third."""
    path = written(name, "kind,kind,n\na,b,1\n")
    columns = pyarrow.Table.from_arrays([pyarrow.array([text]) for text in "ab1"], names=["kind", "kind", "n"])
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(columns, path)
    if name.endswith(".arrow"):
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, columns.schema) as out:
            out.write_table(columns)
    return path


@pytest.mark.parametrize(
    ("name", "hidden"),
    [("twice.csv", False), ("twice.csv", True), ("twice.parquet", False), ("twice.arrow", False)],
)
def test_a_column_that_is_there_twice_is_refused(monkeypatch, name, hidden):
    path = twice(name)
    if hidden:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(bw.Infeasible, match="has 2 columns 'kind'; write the file again, every column by another name"):
        len(bw.Column(path, "kind"))
    if not name.endswith(".parquet"):  # of which pyarrow refuses all
        assert len(bw.Column(path, "n")) == 1


@pytest.mark.parametrize("name", ["twice.csv", "twice.parquet"])
@pytest.mark.parametrize("engine", ["duckdb", "polars", "pyarrow"])
def test_a_column_that_is_there_twice_is_not_indexed(tmp_path, name, engine):
    with pytest.raises(bw.Infeasible, match="has 2 columns 'kind'"):
        bw.index(twice(name), label="kind", path=tmp_path / "twice.index", engine=engine)


@pytest.mark.parametrize(
    ("plan", "fact"),
    [
        (lambda: bw.balanced(np.arange(5000) % 3, 2), "labels has 5000 values, the most is 4096"),
        (lambda: bw.balanced(KINDS, 2, target=lambda counts: counts / counts.sum()), "target is the function"),
        (lambda: bw.budgeted([1, 2], float("inf")), "max_tokens is inf"),
        (
            lambda: bw.mixed({"a": bw.balanced(KINDS, 2, target=lambda counts: counts / counts.sum())}, 2),
            "target is the function",
        ),
        (
            lambda: bw.balanced(KINDS, 2, target=bw.targets.moving("natural")).retargeted(0, "uniform")[0],
            "no builder made",
        ),
        (lambda: set_again().plan, "no builder made"),
        (lambda: set_again("loader").plan, "no builder made"),
        (lambda: set_again().plan.stepped(2), "no builder made"),
        (lambda: bw.alternating({"a": set_again().plan, "b": bw.shuffled(4, 2)}), "tasks is "),
    ],
)
def test_a_plan_without_a_recipe_says_why(plan, fact):
    with pytest.raises(bw.Infeasible, match=r"pass data as a column|write the recipe of the plan") as refused:
        plan().to_recipe()
    assert fact in str(refused.value)


def set_again(way="sampler"):
    order = bw.balanced(KINDS, 2, target=bw.targets.moving("natural"))
    plan = bw.packed([1] * len(KINDS), 2, order=order, window=2)
    made = plan.sampler(rank=0, world_size=1) if way == "sampler" else plan.loader(range(len(KINDS)), num_workers=0)
    made.retarget("uniform")
    return made


def test_a_plan_whose_shares_are_taken_back_has_a_recipe():
    sampler = set_again()
    begun = bw.from_recipe(set_again().plan.with_shares_of(bw.shuffled(4, 2)).to_recipe())
    sampler.load_state_dict(begun.sampler(rank=0, world_size=1).state_dict())
    assert bw.from_recipe(sampler.plan.to_recipe()).fingerprint == begun.fingerprint


@pytest.mark.parametrize(
    ("refuse", "offered"),
    [
        (made(plan=3), recipes.PLANS),
        (made(plan="os.system"), recipes.PLANS),
        (made(arguments={"samples": 8, "batch_size": {"target": "none"}}), recipes._TARGETS),
        (
            made(plan="budgeted", arguments={"lengths": [1], "most": 2}),
            inspect.signature(recipes.PLANS["budgeted"]).parameters,
        ),
        (column("x.xls"), paths._KINDS),
    ],
)
def test_a_way_out_names_all_that_may_be_passed(refuse, offered):
    with pytest.raises(bw.Infeasible) as refused:
        refuse()
    named = set(re.findall(r"[.\w]+", refused.value.way_out))
    assert set(offered) <= named


def test_every_refusal_has_a_case():
    check_that_all_are_reached(FILES, 35, [CASES])


def test_nothing_outside_the_tables_can_be_named():
    for name in ("__import__", "eval", "os.system", "Column", "fork"):
        with pytest.raises(bw.Infeasible, match="names the plan"):
            made(plan=name)()
    assert set(recipes.PLANS) <= set(bw.__all__)
