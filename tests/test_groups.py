"""The index of samples by group."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Groups, Infeasible

LABELS = (
    st.lists(st.integers(-5, 5), min_size=1, max_size=60)
    | st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=60)
    | st.lists(st.sampled_from(["ant", "bee", "cat"]), min_size=1, max_size=60)
    | st.lists(st.booleans(), min_size=1, max_size=60)
    | st.lists(st.floats(-1, 1), min_size=1, max_size=60)
    | st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab")), min_size=1, max_size=60)
)


@pytest.mark.filterwarnings("ignore:.* groups have one sample each:batchwright.PoorWarning")
@given(labels=LABELS)
def test_from_labels_is_sorting_by_label(labels):
    groups = Groups.from_labels(labels)
    assert list(groups.names) == sorted(set(labels))
    assert groups.sample_count == len(labels)
    for name, size in zip(groups.names, groups.sizes.tolist(), strict=True):
        samples = groups.samples(name).tolist()
        assert samples == [i for i, label in enumerate(labels) if label == name]
        assert size == len(samples)
    assert [groups.names[g] for g in groups.group_of(range(len(labels))).tolist()] == labels
    assert groups.index.dtype == np.uint32


@pytest.mark.filterwarnings("ignore:.* groups have one sample each:batchwright.PoorWarning")
@given(dtype=st.sampled_from("bBhHiIqQ"), values=st.lists(st.integers(0, 100), min_size=1, max_size=50))
def test_any_integer_type(dtype, values):
    assert Groups.from_labels(np.array(values, dtype)).digest == Groups.from_labels(values).digest


@given(dtype=st.sampled_from("bBhHiIqQ"))
def test_numbers_of_samples_of_any_integer_type(dtype):
    wanted = np.array([3, 0, 4], dtype)
    for numbers in (wanted, list(wanted)):
        for groups in (Groups.from_sizes({"a": 3, "b": 2}), Groups.singletons(5)):
            (names, places), expected = groups.locate(numbers), groups.locate([3, 0, 4])
            assert places.dtype == np.int64
            assert (names, places.tolist()) == (expected[0], expected[1].tolist())


def test_a_name_that_is_given_twice_among_many_is_found_at_once():
    with pytest.raises(Infeasible, match="two groups are called 99999"):
        Groups([*range(100_000), 99_999], range(100_002), None, 100_001)


@given(sizes=st.dictionaries(st.text(max_size=3), st.integers(0, 20), min_size=1).filter(lambda s: sum(s.values())))
def test_from_sizes_is_one_after_the_other(sizes):
    groups = Groups.from_sizes(sizes)
    assert groups.index is None
    listed = [name for name, size in sizes.items() for _ in range(size)]
    assert [groups.names[g] for g in groups.group_of(range(len(listed))).tolist()] == listed
    assert np.concatenate([groups.samples(name) for name in sizes]).tolist() == list(range(len(listed)))


@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=50))
def test_from_indices_is_from_labels_the_other_way_round(labels):
    lists = {name: [i for i, label in enumerate(labels) if label == name] for name in sorted(set(labels))}
    kept = {name: list(part) for name, part in lists.items()}
    groups = Groups.from_indices(lists, sample_count=len(labels))
    assert lists == kept
    assert groups.digest == Groups.from_labels(labels).digest
    assert np.array_equal(groups.codes, Groups.from_labels(labels).codes)


def test_from_indices_may_leave_samples_out():
    groups = Groups.from_indices([[4, 2], [7]], sample_count=10)
    assert groups.sample_count == 10
    assert groups.grouped_count == 3
    assert groups.group_of([2, 3, 7]).tolist() == [0, 2, 1]  # 2 is the number of groups: in none


@given(pairs=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1, max_size=60))
def test_combine_makes_the_cells_that_exist(pairs):
    one, other = Groups.from_labels([a for a, _ in pairs]), Groups.from_labels([b for _, b in pairs])
    cells = Groups.combine(one, other)
    assert cells.names == sorted(set(pairs))
    assert [cells.names[g] for g in cells.group_of(range(len(pairs))).tolist()] == pairs


def test_singletons_take_no_memory():
    groups = Groups.singletons(10**12)
    assert groups.group_count == 10**12
    assert groups.sizes.nbytes == 8 * 10**12  # as seen; it is one number repeated
    assert groups.sizes.strides == (0,)
    assert groups.samples(7).tolist() == [7]
    assert groups.group_of([5, 3]).tolist() == [5, 3]


def test_pickles_without_what_can_be_made_again():
    groups = Groups.from_labels(["b", "a", "b"])
    groups.codes, groups.sizes, groups.digest  # noqa: B018  # made, and not taken along
    copy = pickle.loads(pickle.dumps(groups))
    assert set(vars(copy)) == {"names", "starts", "index", "sample_count", "aliases", "declared"}
    assert copy.digest == groups.digest


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Groups.from_labels([]), "the dataset is empty"),
        (lambda: Groups.from_sizes({}), "sizes has 0 entries"),
        (lambda: Groups.from_sizes([3, 4]), "sizes is of type list; pass sizes by name"),
        (lambda: Groups.from_sizes({"a": "x"}), "group 'a' has size 'x'"),
        (lambda: Groups.from_sizes({"a": float("nan")}), "group 'a' has size nan"),
        (
            lambda: Groups.from_labels([{"a": 1}, {"b": 2}]),
            "the label of sample 0 is of type dict, which cannot be hashed",
        ),
        (lambda: Groups.from_labels([0, 1]).locate(["a"]), "samples are given by values of type object"),
        (lambda: Groups.from_labels([0, 1]).locate([0.5]), "samples are given by values of type float64"),
        (lambda: Groups.from_labels([0, 1]).group_of(np.array([True, False])), r"bool; .* np.flatnonzero\(mask\)"),
        (lambda: Groups.from_sizes({"a": 0}), "the dataset is empty"),
        (lambda: Groups.from_sizes({"a": -1}), "group 'a' has size -1"),
        (lambda: Groups.from_sizes({"a": 1.5}), "group 'a' has size 1.5"),
        (lambda: Groups.from_indices([[1, 2], [2]]), "sample 2 is listed twice, in group 0 and 1"),
        (lambda: Groups.from_indices({"a": [-1]}), "the list of group 'a' holds -1"),
        (lambda: Groups.from_indices([[5]], sample_count=3), "sample 5 is named but the dataset has 3"),
        (lambda: Groups.from_indices([[], []]), "no group has a sample"),
        (lambda: Groups.singletons(0), "the dataset is empty"),
        (lambda: Groups.combine(Groups.from_labels([0, 1]), Groups.from_labels([0])), r"groupings of \[2, 1\] samples"),
        (lambda: Groups.from_labels(["a", ""]).samples("x"), "no group is called 'x'"),
        (lambda: Groups.from_labels([0, 1]).group_of([2]), "asked for, the dataset has 2"),
    ],
)
def test_refusals(build, said):
    with pytest.raises(Infeasible, match=said):
        build()


DIRECT = [
    (["a"], [0, 2], [0, 1249], 10, "the index names sample 1249 of 10"),
    (["a"], [0, 2], [-1, 0], 10, "the index names sample -1 of 10"),
    (["a"], [0, 2], [1, 0], 10, "not in ascending order"),
    (["a", "b"], [0, 1, 2], [1, 1], 10, "names a sample twice"),
    (["a"], [0, 2], [0.5, 1.0], 10, "index are given by values of type float64"),
    (["a"], [0, 3], [0, 1], 10, "the index has 2 entries, starts end at 3"),
    (["a"], [0, 2**62], [0], 10, "the index has 1 entries, starts end at 4611686018427387904"),
    (["a", "b"], [0, 2], [0, 1], 10, r"starts are \[0, 2\] for 2 groups"),
    (["a", "b"], [0, 2, 1], [0], 10, "starts are"),
    (["a", "b"], [1, 2, 3], [0, 1, 2], 10, "starts are"),
    (["a"], None, None, 3, "starts is None"),
    (["a", "a"], [0, 1, 2], [0, 1], 10, "two groups are called 'a'"),
    ([[1]], [0, 1], [0], 1, "a name of a group is of type list"),
    ("ab", [0, 1, 2], [0, 1], 2, "names is of type str"),
    (["a"], [0, 20], None, 10, "hold 20 samples one after the other, there are 10"),
    (["a"], [0, 2], None, 2.5, "sample_count is 2.5"),
    (["a"], [0, 2], None, 2**62, "the most is 2305843009213693952"),
    ([], [0], [], 1, "no group has a sample"),
]


@pytest.mark.parametrize(("names", "starts", "index", "count", "said"), DIRECT)
def test_an_index_that_was_built_elsewhere_is_checked(names, starts, index, count, said):
    with pytest.raises(Infeasible, match=said):
        Groups(names, starts, index, count)


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=30), wide=st.booleans())
def test_a_sound_index_is_taken_and_copied(labels, wide):
    made = Groups.from_labels(labels)
    index = made.index.astype(np.int64 if wide else np.uint32)
    built = Groups(made.names, made.starts, index, len(labels))
    assert built.digest == made.digest
    index[:] = 2**31
    assert built.digest == made.digest


@given(sizes=st.lists(st.integers(0, 2**63), min_size=1, max_size=4))
def test_sizes_sum_exactly_or_are_refused(sizes):
    named = dict(enumerate(sizes))
    if 0 < sum(sizes) <= 2**61:
        groups = Groups.from_sizes(named)
        assert (groups.sample_count, groups.sizes.tolist()) == (sum(sizes), sizes)
    else:
        with pytest.raises(Infeasible, match=r"the sizes sum to|the dataset is empty"):
            Groups.from_sizes(named)


@given(
    groups=st.integers(1, 30).map(Groups.singletons)
    | st.lists(st.integers(0, 5), min_size=1, max_size=8)
    .filter(any)
    .map(lambda s: Groups.from_sizes(dict(enumerate(s))))
    | st.lists(st.integers(0, 4), min_size=1, max_size=30).map(Groups.from_labels)
    | st.just(Groups.from_indices({"a": [5, 2], "b": [3]}, sample_count=9)),
    data=st.data(),
)
def test_the_group_of_a_sample_is_the_one_that_has_it(groups, data):
    """Singletons, groups that lie one after the other, and groups with an index; codes are the same for all samples."""
    owner = np.full(groups.sample_count, groups.group_count)
    for number, name in enumerate(groups.names):
        owner[groups.samples(name)] = number
    assert groups.codes.tolist() == owner.tolist()
    wanted = data.draw(st.lists(st.integers(0, groups.sample_count - 1), max_size=10))
    assert np.asarray(groups.group_of(wanted)).tolist() == owner[wanted].tolist()
