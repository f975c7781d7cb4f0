"""Arguments that are one of a few words: whatever else is passed, whatever it is, is refused by the argument's name."""

from __future__ import annotations

import enum
import inspect
import sys
import tarfile
import tempfile
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import batchwright as bw
from batchwright import online, targets
from batchwright.correct import LogitAdjustment, recalibrate
from batchwright.errors import one_of
from batchwright.lengths.packing import pack

LABELS = ["a"] * 6 + ["b"] * 4
LENGTHS = [3, 5, 2, 8, 1, 4]
SHAPES = [(height, 4) for height in LENGTHS]
PLAN = bw.balanced(LABELS, 2)
GIVEN_OUT = PLAN.sampler(rank=0, world_size=1)
list(GIVEN_OUT)
INDEXED = Path(tempfile.mkdtemp()) / "animals.csv"
INDEXED.write_text("kind\ncat\ndog\n")
LINES, TAR = INDEXED.with_suffix(".jsonl"), INDEXED.with_suffix(".tar")
LINES.write_text('{"kind": "cat"}\n')
with tarfile.open(TAR, "w") as made:
    made.add(LINES, "0.json")


class Undecided:
    """Refuses to be compared and to be shown."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None

    def __repr__(self):
        raise RuntimeError("no")


HOSTILE = {
    "array": np.array([1, 2, 3]),
    "array of text": np.array(["exact", "natural", "epoch"]),
    "array of one text": np.array("natural"),
    "empty array": np.array([]),
    "tensor": torch.tensor([1, 2, 3]),
    "meta tensor": torch.zeros(3, device="meta"),
    "series": pd.Series(["exact", "natural"]),
    "list": ["natural", "exact"],
    "tuple": ("step", "batch", "epoch"),
    "empty list": [],
    "dict": {"exact": 1},
    "set": {"epoch"},
    "None": None,
    "True": True,
    "1.5": 1.5,
    "nan": float("nan"),
    "NA": pd.NA,
    "bytes": b"exact",
    "no text": "",
    "long text": "x" * 100_000,
    "upper case": "NATURAL",
    "object": object(),
    "type": str,
    "undecided": Undecided(),
}


def taking(builder, *arguments, **named):
    """Of a builder, the call that takes one more argument by its name."""
    return lambda argument: lambda value: builder(*arguments, **named, **{argument: value})


BUILDERS = {
    "alternating": taking(bw.alternating, {"t": PLAN}),
    "balanced": taking(bw.balanced, LABELS, 2),
    "bucketed": taking(bw.bucketed, SHAPES, 2),
    "budgeted": taking(bw.budgeted, LENGTHS, 9),
    "evaluation": taking(bw.evaluation, LENGTHS, max_tokens=9),
    "Loader": taking(bw.Loader, PLAN.sampler(rank=0, world_size=1), range(10), num_workers=0),
    "Plan.loader": taking(PLAN.loader, range(10), num_workers=0),
    "grouped": taking(bw.grouped, LENGTHS, 2),
    "hierarchical": taking(bw.hierarchical, [LABELS], [1, 1]),
    "index": taking(bw.index, INDEXED, path=INDEXED.with_suffix(".index"), label="kind"),
    "mixed": taking(bw.mixed, {"s": 9, "t": 9}, 2),
    "multilabel": taking(bw.multilabel, [["a"], ["a", "b"], []] * 5, 2, target="natural"),
    "ordered": taking(bw.ordered, [0, 2, 1], 2),
    "packed": taking(bw.packed, LENGTHS, 9),
    "raked": taking(bw.raked, {"s": LABELS}, {"s": "uniform"}, 2),
    "rotating": taking(bw.rotating, LABELS, [["a"], ["b"]], per_class=1),
    "sequential": taking(bw.sequential, 9, 2),
    "shuffled": taking(bw.shuffled, 9, 2),
    "weighted": taking(bw.weighted, [1, 2, 3], 2),
    "BatchSampler": taking(bw.BatchSampler, PLAN, rank=0, world_size=1),
    "Plan.sampler": taking(PLAN.sampler, rank=0, world_size=1),
    "targets.schedule": taking(targets.schedule, "natural", "uniform", epochs=2),
    "online.balanced": taking(online.balanced, range(9), key=bool, batch_size=2),
    "online.budgeted": taking(online.budgeted, ["a"], length=len, max_tokens=9),
    "online.jsonl": taking(online.jsonl, LINES),
    "online.tar": taking(online.tar, TAR),
    "online.mixed": taking(online.mixed, {"s": range(9)}, batch_size=2),
    "online.packed": taking(online.packed, ["a"], length=len, capacity=9),
    "correct.LogitAdjustment": lambda argument: (
        lambda value: LogitAdjustment(**{"trained": [0.5, 0.5], "deploy": "uniform", argument: value})
    ),
    "correct.LogitAdjustment.from_stream": lambda called: (
        lambda word: bw.correct.LogitAdjustment.from_stream(
            bw.online.StreamReport(read=4, delivered=4, had={"a": 2, "b": 2}, seen={"a": 3, "b": 1}), **{called: word}
        )
    ),
    "correct.LogitAdjustment.from_plan": taking(LogitAdjustment.from_plan, PLAN),
    "correct.LogitAdjustment.from_sampler": taking(LogitAdjustment.from_sampler, GIVEN_OUT),
    "correct.recalibrate": taking(recalibrate, torch.nn.BatchNorm1d(1), [torch.zeros(2, 1)]),
    "Collate.packs": taking(bw.Collate(x=bw.ragged()).packs, capacity=9),
    "Layout.mask": taking(bw.Layout([1, 2]).mask, 3),
    "Layout.packed_to_padded": taking(bw.Layout([1, 2]).packed_to_padded, 3),
    "Layout.padded_to_packed": taking(bw.Layout([1, 2]).padded_to_packed, 3),
    "Layout.shard": taking(bw.Layout([1, 2]).shard, 0, 1),
    "Layout.unshard": taking(bw.Layout([1, 2]).unshard, 1),
    "Padding": taking(bw.Padding),
    "ragged": taking(bw.ragged),
    "resized": taking(bw.resized),
    "lengths.packing.pack": taking(pack, LENGTHS, 9),
}

MEANT = {
    "ragged.form": {"None"},
    "index.engine": {"None"},
    "online.jsonl.groups": {"None"},
    "online.tar.groups": {"None"},
    "packed.window": {"None"},
    "targets.schedule.shape": {"type"},
}
"""What is hostile elsewhere and means something there: no form, window or groups of one's own, any engine, any function."""

BY_THE_LIBRARY = {"Ragged.form"}
"""Arguments of what only the library itself makes."""


def words_of(hint):
    """The words in an annotation, alone or beside other types."""
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return set().union(*map(words_of, typing.get_args(hint)))


def arguments_in_words():
    """Every argument of a public function, class or method that is annotated with words, and these."""
    found = {"lengths.packing.pack.solver": set(), "targets.schedule.shape": set()}
    names = {}  # for what a module imports for type checkers alone
    for module in [module for name, module in sys.modules.items() if name.startswith("batchwright.")]:
        names |= vars(module)
    for home, space in (("", bw), ("online.", online), ("targets.", targets), ("correct.", bw.correct)):
        for name in space.__all__:
            public = getattr(space, name)
            parts = {"": public}
            if inspect.isclass(public):
                parts |= {f".{part}": getattr(public, part) for part in vars(public) if not part.startswith("_")}
                parts[""] = public.__init__
            for part, function in parts.items():
                if not callable(function) or not inspect.get_annotations(function):
                    continue
                for argument, hint in inspect.get_annotations(function).items():
                    if argument == "return":
                        continue
                    try:
                        scope = {**names, **vars(sys.modules[function.__module__])}
                        words = words_of(eval(hint, scope) if isinstance(hint, str) else hint)
                    except NameError:  # a type of another library
                        continue
                    if words:
                        found[f"{home}{name}{part}.{argument}"] = words
    return found


WORDS = {argument: words for argument, words in arguments_in_words().items() if argument not in BY_THE_LIBRARY}
ARGUMENTS = sorted(WORDS)


def test_every_argument_in_words_is_looked_at():
    assert len(ARGUMENTS) >= 49
    assert {argument.rpartition(".")[0] for argument in ARGUMENTS} == set(BUILDERS)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_whatever_is_none_of_the_words_is_refused_by_the_arguments_name(argument):
    builder, _, called = argument.rpartition(".")
    for name, value in HOSTILE.items():
        if name in MEANT.get(argument, ()):
            continue
        with pytest.raises(bw.Infeasible, match=rf"\b{called}\b") as refusal:
            BUILDERS[builder](called)(value)
        assert refusal.value.way_out, name
        assert len(str(refusal.value)) < 1300, name


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_word_of_an_annotation_is_one_that_the_argument_takes(argument):
    builder, _, called = argument.rpartition(".")
    for word in WORDS[argument]:
        said = ""
        try:
            BUILDERS[builder](called)(word)
        except (bw.Infeasible, ImportError) as refusal:  # a word may need another argument, or a library
            said = str(refusal)
        assert not said.startswith(f"{called} is {word!r}; pass ")


@pytest.mark.parametrize("name", HOSTILE)
def test_only_text_is_one_of_a_few_words(name):
    with pytest.raises(bw.Infeasible, match=r"^draw is .*; pass 'exact', 'random' or a plan\.$"):
        one_of(HOSTILE[name], "draw", ("exact", "random"), or_else="a plan")


def test_a_word_is_taken_as_plain_text_whatever_kind_of_text_it_is():
    class Draw(enum.StrEnum):
        EXACT = "exact"

    for word in ("exact", np.str_("exact"), Draw.EXACT):
        assert type(one_of(word, "draw", ("exact", "random"))) is str
    plain, other = (bw.packed(LENGTHS, 9, too_long=word) for word in ("skip", np.str_("skip")))
    assert plain.fingerprint == other.fingerprint
    assert bw.balanced(LABELS, 2, draw=Draw.EXACT).fingerprint == PLAN.fingerprint
