"""What a loader does for the states that it keeps ready, and a stream for its batches, by the number of groups."""

import os
import sys
from itertools import islice

import pytest

import batchwright
from batchwright import online
from batchwright.online import run

HOME = os.path.dirname(batchwright.__file__)
pytestmark = pytest.mark.filterwarnings("ignore:group .* slots due to it:batchwright.PoorWarning")

EACH = 24  # samples of a group


def samples_of(group):
    return [(group, number) for number in range(EACH)]


def of_sizes(group):
    return samples_of(group)[: EACH // (1 + group % 3)]


def sharded(read, **arguments):
    def stream(groups):
        source = online.Sharded(range(groups), read, groups=range(groups))
        return online.balanced(source, key=0, target="uniform", batch_size=8, buffer=64, **arguments)

    return stream


def in_one_source(groups):
    return online.balanced(
        [(number % groups, number) for number in range(groups * EACH)],
        key=0,
        target="uniform",
        batch_size=8,
        buffer=8 * groups,
    )


def plain(group):
    return type("Plain", (), {"__iter__": lambda self: iter(samples_of(group))})()


STREAMS = {
    "mixed": lambda groups: online.mixed({group: samples_of(group) for group in range(groups)}, batch_size=8),
    "mixed of plain sources": lambda groups: online.mixed(
        {group: plain(group) for group in range(groups)}, batch_size=8
    ),
    "mixed by units": lambda groups: online.mixed(
        {group: samples_of(group) for group in range(groups)}, batch_size=8, unit=lambda sample: 1 + sample[1] % 3
    ),
    "groups of shards": sharded(samples_of),
    "groups of shards that repeat": sharded(of_sizes, when_short="repeat"),
    "groups of shards whose slots go to others": sharded(of_sizes, when_short="redistribute"),
    "groups found in one source": in_one_source,
}


def batches_of_a_pass(stream, groups):
    return islice(stream.loader(), groups * EACH // 8)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("groups", [10, 100, 1000])
def test_a_loader_writes_states_in_proportion_to_what_is_read(kind, groups, monkeypatch):
    written = []

    def counted(*arguments):
        text = kept(*arguments)
        written.append(len(text))
        return text

    kept = run.kept
    monkeypatch.setattr(run, "kept", counted)
    given = sum(map(len, batches_of_a_pass(STREAMS[kind](groups), groups)))
    # Before the first anchor nothing was read; of samples in the buffer, each may be copied once.
    assert sum(written) <= 2 * max(written) + 150 * given


def steps_of_a_pass(stream, groups, loop):
    """The steps of the interpreter in the package."""
    steps = 0

    def traced(frame, event, value):
        nonlocal steps
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        steps += event == "opcode"
        return traced

    batches = islice(loop(stream), groups * EACH // 8)
    before = sys.gettrace()
    sys.settrace(traced)
    try:
        for _ in batches:
            pass
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("loop", [iter, lambda stream: iter(stream.loader())], ids=["stream", "loader"])
def test_the_work_of_a_pass_grows_with_what_is_read_alone(kind, loop):
    few, many = (steps_of_a_pass(STREAMS[kind](groups), groups, loop) / groups for groups in (20, 160))
    assert many < 2 * few
