"""What a target means does not depend on the order in which groups appear: it is that of a plan, or refused."""

from __future__ import annotations

from collections import Counter
from itertools import islice, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright import Infeasible, online, targets

LIST = [0.5, 0.25, 0.25]
ORDERS = ["".join(order) for order in permutations("abc")]
IN_ORDER = {
    "a list": LIST,
    "a tuple": tuple(LIST),
    "an array": np.array(LIST),
    "within capped": targets.capped(50, LIST),
    "as the end of a schedule": targets.schedule("natural", LIST, epochs=2),
    "within moving": targets.moving(LIST),
    "within a schedule that is the end of one": targets.schedule(0.5, targets.schedule(1, LIST, epochs=2), epochs=2),
}
FUNCTIONS = {
    "of the counts": lambda counts: LIST,
    "of counts and epoch": lambda counts, epoch: LIST,
    "that falls with the place": lambda counts: np.arange(len(counts), 0, -1) / np.arange(len(counts) + 1).sum(),
    "in the middle": lambda counts: [0.25, 0.5, 0.25],
}


def mixed_up(order, count=300):
    """Samples of the groups a, b, c, which appear in this order."""
    return [(number, order[number % 3]) for number in range(count)]


def balanced(order="abc", target="uniform", **more):
    arguments = {"key": 1, "batch_size": 4, "buffer": 20, "target": target} | more
    return online.balanced(mixed_up(order), **arguments)


def side_by_side(order, target, **more):
    source = online.Sharded(list(order), lambda group: [(n, group) for n in range(100)], groups=list(order))
    return online.balanced(source, **{"key": 1, "batch_size": 4, "target": target, "when_short": "repeat"} | more)


def counts_of(batches, most=40):
    return Counter(group for batch in islice(batches, most) for group in batch.groups)


def of_plan(target, most=40):
    """The same of a plan with as many samples of each group."""
    labels = [group for _, group in mixed_up("bca")]
    plan = bw.balanced(labels, 4, target=target)
    return Counter(labels[sample] for number in range(most) for sample in plan[number])


@pytest.mark.parametrize("case", sorted(IN_ORDER))
def test_a_list_is_refused_where_the_groups_are_not_known(case):
    said = r"gives shares in the order of the groups, and the groups of a stream are not known .*\{group: share\}"
    with pytest.raises(Infeasible, match=said):
        balanced(target=IN_ORDER[case])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", sorted(FUNCTIONS))
def test_a_function_that_goes_by_the_order_of_the_groups_is_refused(case, order):
    with pytest.raises(
        Infeasible, match=r"gives other shares where the groups are in another order, and .*group: share"
    ):
        list(balanced(order, FUNCTIONS[case]))


@pytest.mark.parametrize(
    "target", [lambda counts: counts / counts.sum(), lambda counts: counts * 0.0 + 1 / len(counts)]
)
def test_a_function_that_goes_by_the_counts_alone_is_followed(target):
    named = "natural" if target(np.array([3, 1]))[0] > 0.5 else "uniform"
    batches = [list(balanced("bca", one, when_short="redistribute")) for one in (target, named)]
    assert batches[0] == batches[1]


def first_of_the_largest(counts):
    shares = np.full(len(counts), 0.5 / max(1, len(counts) - 1)) if len(counts) > 1 else np.ones(1)
    shares[np.argmax(counts)] = 0.5 if len(counts) > 1 else 1.0
    return shares


def test_a_function_that_decides_between_equal_groups_by_their_order_is_followed():
    """As it is by a plan: groups of like size come and go, and a training is not ended for it."""
    assert sum(map(len, balanced("bca", first_of_the_largest))) > 100


@given(st.sampled_from(ORDERS), st.sampled_from(ORDERS), st.sampled_from(sorted({**IN_ORDER, **FUNCTIONS})))
def test_where_the_groups_are_known_a_list_is_in_the_order_of_a_plan(order, shards, case):
    target = {**IN_ORDER, **FUNCTIONS}[case]
    if case.startswith(("as the end", "within a schedule")):
        return
    natural = dict.fromkeys(shards, 1 / 3)
    wanted = of_plan(target)
    for stream in (
        side_by_side(shards, target, natural=natural if case == "within capped" else None),
        balanced(order, target, natural=natural, when_short="repeat", buffer=90),
    ):
        found = counts_of(stream)
        assert all(abs(found[group] - wanted[group]) <= 2 for group in "abc")


def test_a_list_for_other_groups_than_there_are_is_refused_when_the_stream_is_built():
    said = "gave 3 shares for 2 groups; give one share a group"
    with pytest.raises(Infeasible, match=said):
        balanced(target=LIST, natural={"a": 0.5, "b": 0.5})
    with pytest.raises(Infeasible, match=said):
        side_by_side("ab", LIST)


def test_the_summary_and_the_audit_know_the_shares_of_a_list():
    stream = side_by_side("bca", LIST)
    list(stream)
    assert stream.report().shares == {"a": 0.5, "b": 0.25, "c": 0.25}
    assert "50.00%" in str(stream.summary())
    assert stream.audit(batches=20).kept


def test_a_list_of_a_mixture_is_in_the_order_of_its_sources_as_in_a_plan():
    sources = {name: [(n, name) for n in range(100)] for name in "bca"}
    (batch,) = islice(online.mixed(sources, target=LIST, batch_size=8), 1)
    plan = bw.mixed(dict.fromkeys("bca", 100), 8, target=LIST)
    names, _ = plan.locate(plan[0])
    assert Counter(batch.groups) == Counter(names) == {"b": 4, "c": 2, "a": 2}


@pytest.mark.parametrize("give", [lambda counts, epoch: {"a": 0.5, "b": 0.25, "c": 0.25}, lambda counts: {"a": 1}])
def test_a_function_that_gives_shares_by_label_is_told_how_to_give_them(give):
    said = "the target function gives a dict at epoch 0; give a list with one share a group, in the order of the counts, or"
    for build in (lambda: bw.balanced(list("abc"), 4, target=give), lambda: list(balanced(target=give))):
        with pytest.raises(Infeasible, match=said):
            build()


WEIGHTS = {"a": 0.5, "b": 0.5}
OF_SIZES = {
    "a limit of passes": targets.capped(3, WEIGHTS),
    "at the end of a schedule": targets.schedule(WEIGHTS, targets.capped(3, WEIGHTS), epochs=2),
    "a limit that is far": targets.capped(10**9, WEIGHTS),
    "a limit within a function": lambda counts: (
        np.minimum(1 / len(counts), 3 * counts / counts.sum())
        / np.minimum(1 / len(counts), 3 * counts / counts.sum()).sum()
    ),
}


@pytest.mark.parametrize("case", sorted(OF_SIZES))
def test_a_limit_of_passes_is_refused_where_sizes_are_not_known(case):
    sources = {"a": [("a", n) for n in range(400)], "b": [("b", n) for n in range(4)]}
    with pytest.raises(Infeasible, match="the sizes of streams are not known; pass a share for each source by name"):
        online.mixed(sources, target=OF_SIZES[case], batch_size=8, at_end="restart")
    shards = online.Sharded(list("ab"), sources.__getitem__, groups=list("ab"))
    stream = online.balanced(shards, key=0, batch_size=8, target=OF_SIZES[case], when_short="repeat")
    if case == "at the end of a schedule":
        stream.set_epoch(2)
    with pytest.raises(Infeasible, match=r"sizes of the groups of shards are not known; pass natural=\{group: share"):
        list(stream)


def test_the_ways_out_of_a_limit_of_passes_keep_it():
    sizes = {"a": 400, "b": 4}
    sources = {name: [(name, n) for n in range(size)] for name, size in sizes.items()}
    limit = targets.capped(3, WEIGHTS)
    shares = dict(zip(sizes, limit.shares(list(sizes.values()), names=list(sizes)), strict=True))
    mixture = online.mixed(sources, target=shares, batch_size=8, at_end="all_seen")
    shards = online.Sharded(list("ab"), sources.__getitem__, groups=list("ab"))
    natural = {name: size / 404 for name, size in sizes.items()}
    arguments = {"key": 0, "batch_size": 8, "target": limit, "natural": natural, "when_short": "repeat"}
    for stream in (mixture, online.balanced(shards, **arguments)):
        times = Counter(sample for batch in stream for sample in batch)
        assert min(times["b", n] for n in range(4)) >= 3
        assert max(times["b", n] for n in range(4)) <= 4  # more than one epoch of samples was needed to read all of "a"


BY_SIZE = {"a budget": targets.capped(3, budget=1000), "effective number": targets.effective_number(0.9)}


@pytest.mark.parametrize("natural", [None, {"a": 0.4, "b": 0.4, "c": 0.2}])
@pytest.mark.parametrize("case", sorted(BY_SIZE))
def test_targets_that_need_numbers_of_samples_are_refused(case, natural):
    """Natural shares say nothing of them."""
    with pytest.raises(Infeasible, match="needs the number of samples of each group, which is not known of a stream"):
        balanced(target=BY_SIZE[case], natural=natural)
    with pytest.raises(Infeasible, match="the sizes of streams are not known"):
        online.mixed({"a": [1], "b": [2]}, target=BY_SIZE[case], batch_size=2)


@pytest.mark.parametrize("build", [
    lambda target: balanced(target=target), lambda target: online.mixed({"a": [1], "b": [2]}, target=target)])  # fmt: skip
def test_a_target_by_lengths_of_a_plan_is_told_to_be_a_unit(build):
    for target in (targets.in_units("uniform", [1, 2]), targets.schedule(1, targets.in_units(1, [1, 2]), epochs=3)):
        with pytest.raises(Infeasible, match=r"a list of the lengths of all samples, .* and unit= to the stream"):
            build(target)
