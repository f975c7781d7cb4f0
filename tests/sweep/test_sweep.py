"""Whatever is passed to whatever is public: a result, a refusal in words, or the own error of what was passed."""

from __future__ import annotations

import collections

import pytest

from . import calls, driver, values

LARGER_THAN_MEMORY = {
    (f"a {kind}field of Collate", "field", f"{value} of 10**12")
    for kind in ("", "ragged ", "scalar ")
    for value in ("tensor", "array")
}
"""A sample that does not fit into the memory is the MemoryError of numpy, or the RuntimeError of torch."""

THE_USERS = {(f"bw.correct.{name}", "forward", "type") for name in ("evaluate", "recalibrate", "report")}
"""A function of the user that raises by itself, out of Python's own code."""

WITHOUT_END = {("bw.SharedList.__init__", "items", "count")}
"""An iterator that never ends is like one that takes long; where all of it is asked for, it is read."""

KNOWN = LARGER_THAN_MEMORY | THE_USERS | WITHOUT_END


def test_every_public_function_is_swept():
    assert calls.missing() == set()
    assert len(list(calls.arguments())) > 600
    assert len(values.VALUES) >= 140


def test_the_calls_to_begin_from_work():
    for name, make in calls.swept().items():
        made = make()
        for parameter in calls.parameters(made.function):
            if parameter.name in made.arguments:
                calls.run(made, parameter, made.arguments[parameter.name])
                break
        else:
            assert not made.arguments, name


def held(lowest: float, highest: float, least: int) -> None:
    found = driver.sweep(lowest, highest)
    assert len(found) > least
    bare = [one for one in driver.bare(found) if (one["call"], one["argument"], one["value"]) not in KNOWN]
    assert bare == []
    assert collections.Counter(one["is"] for one in found)["refused"] > 0.7 * least


def test_a_part_of_the_sweep():
    held(0, 0.006, 550)


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_the_whole_sweep(part):
    held(part / 20, (part + 1) / 20, 4000)
