"""Every refusal of tasks, set shares, positions and the sampler: its fact, and its way out, which is followed."""

from __future__ import annotations

import contextlib
import copy
import pickle
import warnings
from itertools import islice

import numpy as np
import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import batchwright as bw
from batchwright.adapters.torchdata import sampler_state
from batchwright.correct import LogitAdjustment, loss_scale
from batchwright.micro_batches import LAST
from batchwright.position import PositionNumbers

from ..refusals import cases, told_and_followed
from .small import EMPTY, LABELS, MOVES, WANDERS, balanced, lengths, levels, tasks

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked


def movable(**more):
    return balanced(target=WANDERS, **more)


def sampler(plan=None, **more):
    return (balanced() if plan is None else plan).sampler(**more)


def used_sampler(plan=None, lists=1):
    taken = sampler(plan)
    assert len(list(islice(taken, lists))) == lists
    return taken


def state_of(plan=None, lists=1):
    return used_sampler(plan, lists).state_dict()


def load(state, plan=None):
    """Load a state, and go on from it."""
    taken = sampler(plan)
    taken.load_state_dict(state)
    next(iter(taken))


def load_changed(of=None, /, **entries):
    load({**state_of(of), **entries}, of)


def load_without(name):
    load({key: value for key, value in state_of().items() if key != name})


def load_as_it_was(plan=None):
    load(state_of(plan), plan)


def set_again(times=1, plan=None):
    """The sampler of a run in which the shares were set so often."""
    taken = sampler(movable() if plan is None else plan)
    for number in range(times):
        taken.seek(0, epoch=100 * number)
        taken.retarget([0.3, 0.7] if number % 2 else [0.7, 0.3])
    return taken


def load_segments(change, times=1):
    state = set_again(times).state_dict()
    load({**state, "plan": {"share_changes": change(state["plan"]["share_changes"])}}, movable())


def load_set(times=1):
    load(set_again(times).state_dict(), movable())


def begin(taken, epoch):
    taken.seek(0, epoch=epoch)
    next(iter(taken))


def retarget(shares, plan=None):
    sampler(movable() if plan is None else plan).retarget(shares)


def lengthwise():
    return bw.grouped([1, 2, 3, 4], 1, order=bw.balanced([0, 0, 1, 1], 2, target=bw.targets.moving("uniform")))


def load_set_shares(given):
    """A state of a plan by lengths, with these shares that were set."""
    sampler = lengthwise().sampler()
    state = sampler.state_dict()
    sampler.load_state_dict({**state, "plan": {**state["plan"], "set_shares": given}})


def go_on_elsewhere(*, again):
    """Draw, ask for another place, and go on: with the iterator that had begun, or with a new one."""
    taken = sampler()
    iterator = iter(taken)
    next(iterator)
    taken.seek(2, epoch=5)
    assert len(next(iter(taken) if again else iterator)) == 4


def lists_of(state):
    loaded = iter(sampler())
    loaded.load_state_dict(state)
    assert next(loaded)


def begun_lists_of(ended):
    """A state for an iterator that gave a batch, or that found its epoch ended."""
    given = iter(sampler())
    if ended:
        given.load_state_dict({"ended": True})
    assert (next(given, None) is None) == ended
    given.load_state_dict(given.state_dict())


def begun_again():
    """What is told there: the sampler loads its own state, and a new iterator goes on behind it."""
    taken = sampler()
    first = next(given := iter(taken))
    state = taken.state_dict()
    rest = list(given)
    taken.load_state_dict(state)
    assert list(iter(taken)) == rest != []
    assert first not in rest


def in_steps(world_size):
    """Go on in another world with a plan of 12 samples."""
    plan = bw.budgeted([1] * 12, 2)
    taken = sampler(plan, rank=0, world_size=world_size)
    taken.load_state_dict(state_of(plan, 5))
    next(iter(taken))


def early(step):
    """Ask for a step of the epoch in which the run went on in a smaller world, after 8 of its micro-batches."""
    plan = tasks(unit="step", epoch=24)
    before, taken = sampler(plan, rank=0, world_size=8), sampler(plan, rank=0, world_size=3)
    before.seek(1)
    taken.load_state_dict(before.state_dict())
    taken.seek(step, epoch=0)
    next(iter(taken))


@contextlib.contextmanager
def a_mesh(*names):
    """A device mesh of the only process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,) * len(names), mesh_dim_names=names or None)
    finally:
        distributed.destroy_process_group()


def in_a_mesh(*names, **more):
    """A sampler of the only process of a device mesh."""
    with a_mesh(*names or ("dp",)) as mesh:
        assert sampler(mesh=mesh, **more).world_size == 1


def scaled_in_a_mesh(group=False):
    with a_mesh("dp") as mesh:
        assert loss_scale(8, mesh=mesh, process_group=distributed.group.WORLD if group else None) == 1 / 8


def summed_over_a_copy(copied):
    with a_mesh("dp") as mesh:
        taken = sampler(mesh=mesh)
        assert len((pickle.loads(pickle.dumps(taken)) if copied else taken).over) == 1


def stateful():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'set_vital' is deprecated", UserWarning)  # torchdata's own call of it
        return StatefulDataLoader(range(len(LABELS)), batch_sampler=sampler()).state_dict()


CASES = cases("refuse in_fact follow", {  # what is refused, what is said of it, and what its way out says to do
    "no plan": (lambda: bw.BatchSampler([[0, 1]]), "plan is of type list",
                lambda: bw.BatchSampler(bw.shuffled(1000, batch_size=10))),
    # tasks
    "unit": (lambda: tasks(unit="x" * 9999), "unit is 'xxx", lambda: (tasks(unit="batch"), tasks(unit="step"))),
    "multiple of tasks": (lambda: tasks().epoch_length(0), "step_size is 0", lambda: tasks().epoch_length(2 * 4)),
    "epoch of tasks": (lambda: tasks().epoch(-1), "epoch is -1", lambda: tasks().epoch(0)[0]),
    "a state of other tasks": (lambda: load_changed(tasks(), plan={"odd": 1}), r"the state says \{'odd': 1\} of its plan",
                               lambda: load_as_it_was(tasks())),
    "no step of tasks": (lambda: load_changed(tasks(unit="step"), plan={}), r"the state says \{\} of its plan",
                         lambda: load_as_it_was(tasks(unit="step"))),
    "step of tasks": (lambda: load_changed(tasks(unit="step"), plan={"step_size": 0}),
                      r"the state says \{'step_size': 0\} of its",
                      lambda: load_as_it_was(tasks(unit="step"))),
    "how many tasks": (lambda: load_changed(tasks(), plan={"tasks": [{}]}), r"the state's tasks is \[\{\}\], of 2 tasks",
                       lambda: load_as_it_was(tasks())),
    "turns of tasks": (
        lambda: load_changed(tasks(unit="step"), plan={"step_size": 1, "ahead": [-9, 9], "first": 0}),
        "the state stands at micro-batch 1, by which its tasks have had -8 to 9 micro-batches",
        lambda: load_as_it_was(tasks(unit="step"))),
    # retarget
    "shares of independent draws": (
        lambda: retarget("uniform", movable(draw="random")), "cannot be set: its draws are independent",
        lambda: retarget([0.3, 0.7], movable(draw="exact"))),
    "shares of levels": (lambda: retarget("uniform", levels([2, 2, 1])), "cannot be set: its groups come in turn",
                         lambda: retarget([0.3, 0.7], movable(draw="exact"))),
    "shares of samples": (lambda: retarget("uniform", bw.weighted([1, 2, 3], 2)), "they are weights of single samples",
                          lambda: retarget([0.3, 0.7], balanced(labels=bw.Groups.from_labels(LABELS), target=WANDERS))),
    "shares": (lambda: retarget("uniform", balanced()), "the shares of <plan.* cannot be set$",
               lambda: retarget([0.3, 0.7])),
    "shares of tasks": (lambda: retarget("uniform", tasks()), "the shares of <.*tasks a batch.*> cannot be set$",
                        lambda: retarget([0.3, 0.7])),
    "shares of lengths without an order": (
        lambda: retarget("uniform", bw.grouped([1, 2, 3, 4], 1)), "the shares of <.*grouped.*> cannot be set$",
        lambda: retarget("uniform", lengthwise())),
    "shares of no list": (lambda: load_set_shares(7), "the state's set_shares are 7", lambda: load_set_shares([])),
    "shares that are cut off": (
        lambda: load_set_shares([[1, 0, 3]]), r"the state's set_shares are \[\[1, 0, 3\]\]", lambda: load_set_shares([])),
    "shares from nowhere": (
        lambda: load_set_shares([[-1, 0, 0, 1, [1, 1], [0, 0], [0, 0]]]), "the state's set_shares begin at",
        lambda: load_set_shares([])),
    "shares that move": (lambda: retarget(MOVES), "the target schedule.* moves", lambda: retarget("natural")),
    "shares of no group": (lambda: retarget({"cat": 0.5, "dog": 0.5, "owl": 0}), "new shares name 'owl', which is no group",
                           lambda: retarget({"cat": 0.5, "dog": 0.5})),
    "group without a share": (lambda: retarget({"cat": 0.5}), "the new shares have none for group 'dog'",
                              lambda: retarget({"cat": 0.5, "dog": 0.5})),
    "shape of shares": (lambda: retarget([[0.5, 0.5]]), r"the new shares are of shape \(1, 2\)",
                        lambda: retarget(np.array([[0.5, 0.5]]).reshape(2))),
    "sum of shares": (lambda: retarget([0.5, 0.50001]), "the 2 new shares sum to 1.00001", lambda: retarget([0.5, 0.5])),
    "share outside": (lambda: retarget([0.71, 0.29]), "'cat' is given the share 0.71, the plan is laid out for 0.2 to 0.7",
                      lambda: (retarget([0.7, 0.3]), retarget([0.71, 0.29], balanced(target=bw.targets.moving("uniform"))))),
    "share of no class": (
        lambda: retarget([0.4, 0.3, 0.3], balanced(labels=EMPTY, target=bw.targets.moving("natural"))),
        "group 'owl' is given the share 0.3 but it has 0 samples",
        lambda: retarget([0.4, 0.6, 0], balanced(labels=EMPTY, target=bw.targets.moving("natural")))),
    "shares of a state": (lambda: load_changed(plan=set_again().state_dict()["plan"]),
                          "there are shares that were set, those of <plan.* cannot be", load_as_it_was),
    "changes of shares": (lambda: load_segments(lambda found: found[::-1], 2), "change 1 of the shares, at micro-batch",
                          lambda: load_set(2)),
    "columns of shares": (lambda: load_segments(lambda found: [[*found[0][:2], [1], [1], [1]]]),
                          "1 shares were set, with 1 draws and 1 dues, of 2 groups", load_set),
    "numbers of shares": (lambda: load_segments(lambda found: [[found[0][0] + 1, *found[0][1:]]]),
                          "the shares that were set at micro-batch 1 do not go with what was drawn by then", load_set),
    # fixed
    "step_size": (lambda: balanced().epoch_length(0), "step_size is 0", lambda: balanced().epoch_length(2 * 4)),
    "epochs without end": (lambda: balanced().inclusion_rates(float("inf"), 2), "start is inf, not a finite number",
                           lambda: balanced().inclusion_rates(0.5, 2)),
    "epochs the wrong way round": (lambda: balanced().inclusion_rates(2, 1), "nothing is drawn from epoch 2 to epoch 1",
                                   lambda: balanced().inclusion_rates(1, 2)),
    "epoch of shares": (lambda: balanced().shares(torch.ones(3)), "epoch is ", lambda: balanced().shares(1)),
    "epoch of rates": (lambda: balanced().rates([0], epoch=-1), "epoch is -1", lambda: balanced().rates([0], epoch=1)),
    "epoch": (lambda: balanced().epoch(-1), "epoch is -1", lambda: balanced().epoch(0)[0]),
    "forgotten shares": (
        lambda: begin(set_again(12), 0),
        r"micro-batch 0 came before the shares of micro-batch \d+ were set, and only the last 8 times",
        lambda: begin(set_again(12), 1200)),
    # plan
    "no micro-batches": (lambda: tasks().prior_between(3, 3), "no micro-batches from 3 to 3",
                   lambda: tasks().prior_between(0, 3)),
    "no one prior": (
        lambda: movable().sampled_prior, "may move without end, so it has no one prior",
        lambda: (LogitAdjustment.from_plan(movable(), batches=9), movable().prior_between(0, 9),
                 LogitAdjustment.from_sampler(used_sampler(movable())))),
    "weights that move": (lambda: movable().weights([0]), "the plan's shares move", lambda: movable().weights([0], epoch=2)),
    "weights of no group": (
        lambda: balanced(labels=bw.Groups.from_indices({"cat": [0, 1]}, sample_count=4)).weights([3]),
        "sample 3 of no group is never drawn",
        lambda: balanced(labels=bw.Groups.from_indices({"cat": [0, 1]}, sample_count=4)).weights([0, 1])),
    "weights": (lambda: balanced(target={"cat": 1, "dog": 0}).weights([9]), "sample 9 of group 'dog' is never drawn",
                lambda: balanced(target={"cat": 1, "dog": 0}).weights(balanced(target={"cat": 1, "dog": 0})[0])),
    # micro_batches
    "forgotten shares of windows": (
        lambda: set_again(40, lengthwise()).plan[0], r"came before micro-batch \d+, the first that the run still knows",
        lambda: (set_again(40, lengthwise()).plan.report(epoch=3900), set_again(40, lengthwise()).audit(first=3900))),
    "forgotten shares in other steps": (
        lambda: set_again(40, lengthwise()).plan.stepped(2)[0], "micro-batches in steps of 2 are not known any more",
        lambda: set_again(40, lengthwise()).plan.report(epoch=3900, world_size=1)),
    "past the last": (lambda: balanced()[2**40], f"micro-batch {2**40} is past the last, {LAST}", lambda: balanced()[LAST]),
    "consumed": (lambda: load_changed(consumed=99), "the state has consumed 99 micro-batches of an epoch of 3 from 0 on",
                load_as_it_was),
    "before the run went on": (
        lambda: load_changed(tasks(unit="step"), plan={"step_size": 1, "ahead": [1, 1], "first": 4}),
        "micro-batch 1 came before the run went on in another world, at micro-batch 4",
        lambda: load_as_it_was(tasks(unit="step"))),
    "late epoch": (lambda: begin(sampler(), 2**40), f"epoch {2**40} ends at micro-batch {3 * 2**40 + 3}, the last is {LAST}",
                   lambda: begin(sampler(), 2**30)),
    # position
    "a number": (lambda: load_changed(consumed="3"), "the state's consumed is '3', not a whole number", load_as_it_was),
    "a large number": (lambda: load_changed(epoch=1 << 63),
                       "the state's epoch is 9223372036854775808, which has more than 63 bits", load_as_it_was),
    "missing number": (lambda: load_without("origin"), "the state has no 'origin'", load_as_it_was),
    "small numbers": (lambda: load_changed(step_size=0), "the state's epoch, consumed and step_size are 0, 1 and 0",
                      load_as_it_was),
    "plan of a state": (lambda: load_changed(plan="a"), "the state's plan is 'a'", load_as_it_was),
    # layout
    "step of a plan by lengths": (lambda: in_steps(16), "12 samples cannot fill 16 micro-batches, the next multiple of 16",
                                  lambda: in_steps(8)),
    # sampler
    "rank alone": (lambda: sampler(rank=1), "rank is 1 and world_size is None",
                   lambda: (sampler(rank=1, world_size=2), sampler())),
    "a mesh beside a rank": (lambda: in_a_mesh(rank=0, world_size=1), "mesh was given, and rank or world_size too",
                             in_a_mesh),
    "a mesh beside a group": (lambda: scaled_in_a_mesh(group=True), "mesh was given, and a process group too",
                              scaled_in_a_mesh),
    "a mesh of several dimensions": (lambda: in_a_mesh("dp", "tp"), "has dimensions dp, tp, and none is named",
                                     lambda: in_a_mesh("dp", "tp", dims=("dp",))),
    "other dimensions": (lambda: in_a_mesh("dp", "tp", dims=("data",)), r"dims is \('data',\), the device mesh has dp, tp",
                         lambda: in_a_mesh("dp", "tp", dims=("dp",))),
    "no mesh": (lambda: sampler(mesh=3), "mesh is of type int", in_a_mesh),
    "a copy of a sampler of a mesh": (lambda: summed_over_a_copy(True), "the groups of its device mesh were not copied",
                                      lambda: summed_over_a_copy(False)),
    "dims alone": (lambda: sampler(dims=("dp",)), r"dims is \('dp',\) without a mesh", lambda: in_a_mesh(dims=("dp",))),
    "a step that is not there": (lambda: sampler().real(len(sampler())), "batch [0-9]+ of an epoch of [0-9]+ batches",
                                 lambda: sampler().real(len(sampler()) - 1)),
    "a StatefulDataLoader's state": (lambda: load(stateful()), "the state is of a StatefulDataLoader",
                                     lambda: load(sampler_state(stateful()))),
    "world_size": (lambda: sampler(rank=0, world_size=0), "world_size is 0, the least is 1",
                   lambda: sampler(rank=0, world_size=1)),
    "rank": (lambda: sampler(rank=2, world_size=2), "rank 2 is outside a world of 2",
             lambda: [sampler(rank=rank, world_size=2) for rank in (0, 1)]),
    "no state": (lambda: load(None), "the state is None", load_as_it_was),
    "no state, text": (lambda: load("{}"), "the state is of type str", load_as_it_was),
    "ended": (lambda: load_changed(ended="no"), "the state's ended is 'no', neither True nor False", load_as_it_was),
    "shares of a plan by lengths": (lambda: retarget([0.5, 0.5], lengths()), "the shares of <.* cannot be set",
                                    lambda: retarget([0.5, 0.5])),
    "shares in a state of lengths": (
        lambda: load_changed(lengths(), plan=set_again().state_dict()["plan"]),
        r"the state says \{'share_changes': .* of its plan", lambda: load_as_it_was(lengths())),
    "of a stream": (lambda: load_changed(replica=[0, 1, 1]), "^the state is of a stream$",
                    load_as_it_was),
    "version": (lambda: load_changed(version=99), "the state has version 99, this is version 2", load_as_it_was),
    "a whole checkpoint": (lambda: load({"model": {}, "loader": state_of()}),
                           "the state has no version, but 'model', 'loader'", load_as_it_was),
    "no fingerprint": (lambda: load_without("fingerprint"), "the state has no 'fingerprint'", load_as_it_was),
    "another plan": (lambda: load(state_of(), balanced(seed=1)), r"the state is of plan \w{16}, this is plan \w{16}",
                     lambda: load(state_of(balanced(seed=1)), balanced(seed=1))),
    "lists as samples": (lambda: next(iter(DataLoader(range(10), sampler=sampler(balanced())))), "was passed as sampler=",
                         lambda: (next(iter(DataLoader(range(10), batch_sampler=sampler(balanced())))),
                                  next(iter(balanced().loader(range(10), num_workers=0))))),
    "another place": (lambda: go_on_elsewhere(again=False),
                      "batch 2 of epoch 5 was asked for, an iterator that had begun before goes on with batch 1 of epoch 0",
                      lambda: go_on_elsewhere(again=True)),
    "list": (lambda: sampler().real(3), "batch 3 of an epoch of 3 batches", lambda: (sampler().real(0), sampler().real(2))),
    "step": (lambda: sampler().seek(4), "batch 4 of an epoch of 3 batches", lambda: (sampler().seek(0), sampler().seek(3))),
    "something else of a plan": (lambda: load_changed(plan={"step_size": 2}), "of a plan of micro-batches of a fixed size",
                                 load_as_it_was),
    "segments": (lambda: load_changed(plan={"share_changes": [[1, 2]]}), r"the state's share_changes are \[\[1, 2\]\]",
                 load_as_it_was),
    "many segments": (lambda: load_segments(lambda found: found * 9), "the state has 9 share_changes, the most is 8",
                      load_set),
    "early step": (lambda: early(1), "batch 1 of epoch 0 came before the run went on in another world",
                   lambda: [early(step) for step in (0, 2, 8)]),
    "fetch": (lambda: sampler(fetch=None), "fetch is None",
              lambda: [sampler(fetch=fetch) for fetch in ("micro", "step", 1, 3)]),
    # lists
    "state of lists": (lambda: lists_of({}), "does not say whether the epoch has ended",
                       lambda: lists_of(iter(sampler()).state_dict())),
    "state of lists, changed": (lambda: lists_of({"ended": "no"}), "does not say whether the epoch has ended",
                                lambda: lists_of(iter(sampler()).state_dict())),
    "state of lists that had begun": (lambda: begun_lists_of(False), "was asked for a batch, and cannot go elsewhere",
                                      lambda: begun_again()),
    "state of lists that had ended": (lambda: begun_lists_of(True), "was asked for a batch, and cannot go elsewhere",
                                      lambda: begun_again()),
    "a copy of lists": (lambda: copy.copy(iter(sampler())), "an iterator of a sampler cannot be copied or pickled",
                        lambda: copy.copy(sampler()).state_dict()),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_a_number_of_a_state_is_read_back_however_large_it_is():
    for origin in (-(1 << 62), 0, 1 << 62, (1 << 63) - 1):
        numbers = PositionNumbers(3, 2, 1, origin)
        assert PositionNumbers.of(numbers._asdict()) == numbers
