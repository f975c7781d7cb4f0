"""Messages: of bounded length, whatever they show, and with a note where a user's own code raised."""

from __future__ import annotations

import pytest

import batchwright as bw

LONG = {f"label {number:06}": 1 / 4000 for number in range(4000)}


@pytest.mark.parametrize(
    "refused",
    [
        lambda: bw.balanced(list(LONG), 2, target={**LONG, "x" * 10_000: 0.0}),
        lambda: bw.balanced(bw.Groups.from_sizes({**dict.fromkeys(LONG, 2), "label 000007": 0}), 2, target=LONG),
        lambda: bw.split(["a"], dict.fromkeys(LONG, 1.0)),
        lambda: bw.balanced(["a"], list(LONG)),
        lambda: bw.balanced(["a"], 2, seed=list(LONG)),
        lambda: bw.balanced(["a"], 2, target="x" * 50_000),
        lambda: bw.balanced(["a"], 2, draw="x" * 50_000),
        lambda: bw.shuffled("x" * 50_000, 2),
        lambda: bw.multilabel(["x" * 50_000], 2),
        lambda: bw.rotating(["a", "b"], [["a"] * 9000, ["a"] * 9000], per_class=1),
        lambda: bw.raked({name: ["a"] * (1 + number % 50) for number, name in enumerate(LONG, 1)}, LONG, 2),
        lambda: bw.targets.formula([bw.targets.Fixed("x" * 50_000, -1)], 3),
        lambda: bw.budgeted({name: [1] for name in LONG}, dict.fromkeys(list(LONG)[1:], 1)),
        lambda: bw.balanced(["a"], 2).sampler().load_state_dict({"version": "x" * 50_000}),
    ],
)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_messages_have_bounded_length(refused):
    with pytest.raises(bw.Infeasible) as caught:
        refused()
    assert len(str(caught.value)) <= 1300
    assert caught.value.way_out


def test_warnings_have_bounded_length():
    with pytest.warns(bw.PoorWarning) as caught:
        bw.balanced(["x" * 50_000, "y"], 4)
    assert all(len(str(warning.message)) <= 600 for warning in caught)


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    class Silent:
        def __repr__(self):
            raise RuntimeError("no")

    with pytest.raises(bw.Infeasible, match="batch_size is a Silent, not a whole number"):
        bw.balanced(["a"], Silent())


def broken(*arguments):
    raise KeyError("mine")


class Broken:
    def __len__(self):
        return 4

    @property
    def targets(self):
        raise KeyError("mine")

    def __getitem__(self, index):
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (lambda: bw.balanced(["a"], 2, target=lambda counts: broken()), "shares of epoch 0"),
        (lambda: bw.balanced(["a"], 2, target=lambda counts, epoch: broken()), "shares of epoch 0"),
        (
            lambda: bw.balanced(["a"], 1, target=bw.targets.schedule(0, 1, epochs=2, shape=broken)),
            "shape of a schedule was asked for epoch 0",
        ),
        (
            lambda: bw.balanced(["a"], 1, target=bw.targets.schedule(0, 1, batches=200, shape=broken)),
            "shape of a schedule was asked for micro-batch 0",
        ),
        (lambda: bw.balanced(Broken(), 2), "while .targets of the Broken was looked at for labels"),
        (lambda: bw.budgeted([1, 2], 9, cost=broken), "while cost was asked for 2 lengths"),
        (lambda: bw.correct.Weighted(Broken(), bw.correct.Weights(bw.balanced(list("aabb"), 2)))[3], "sample 3"),
    ],
)
def test_what_a_users_own_code_raises_goes_on_with_a_note(call, note):
    with pytest.raises(KeyError, match="mine") as caught:
        call()
    assert any(note in told for told in caught.value.__notes__)
