"""Ignite: a resumed run sees what an unbroken one sees, with any epochs and other readers of the loader."""

from __future__ import annotations

import copy
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

from .. import processes
from .places import LENGTH, ByList, epochs, loader, place, plan
from .programs import habits

with warnings.catch_warnings():  # torch's own, when it is imported
    warnings.simplefilter("ignore")
    from ignite.engine import DeterministicEngine, Engine, Events

    from batchwright.adapters.ignite import PlanProgress

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")

ENGINES = st.sampled_from([Engine, DeterministicEngine])


class Run:
    """An engine on a plan's loader, in a new process, as it were; it may save once and run other engines on its loader."""

    def __init__(self, kind=Engine, *, saves=None, nth=1, saves_first=False, workers=0, evaluates=(), fails_at=0):
        self.seen, self.saved, self.left, self.fails_at = [], None, nth, fails_at
        self.sampler = plan().sampler()
        self.loader = loader(self.sampler, num_workers=workers)
        self.engine = kind(self._update)
        if saves_first and saves:
            self.engine.add_event_handler(saves, self._save)
        self.progress = PlanProgress(self.engine, self.sampler)
        if saves and not saves_first:
            self.engine.add_event_handler(saves, self._save)
        for event in evaluates:
            self.engine.add_event_handler(event, lambda: Engine(lambda *_: None).run(self.loader))

    def _update(self, engine, batch):
        if engine.state.iteration == self.fails_at:
            raise KeyboardInterrupt
        self.seen.append(place(batch))

    def _save(self, *_):
        self.left -= 1
        if self.left == 0:
            self.save()

    def save(self):
        states = {"engine": dict(self.engine.state_dict()), "plan": self.progress.state_dict()}
        self.saved = copy.deepcopy(states), len(self.seen)

    def load(self, states, *, engine_too=True):
        if engine_too:
            self.engine.load_state_dict(states["engine"])
        self.progress.load_state_dict(states["plan"])
        return self

    def run(self, **until):
        self.engine.run(self.loader, **until)
        return self.seen


@pytest.mark.parametrize("kind", [Engine, DeterministicEngine])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_resumed_in_mid_epoch_leaves_done_batches_out_once(kind, workers):
    first = Run(kind, saves=Events.ITERATION_COMPLETED, nth=14, workers=workers)
    first.run(max_epochs=2)
    again = Run(kind, workers=workers).load(first.saved[0])
    assert again.run(max_epochs=3) == epochs((1, 4, 10), (2, 0, 10))


@pytest.mark.parametrize("epoch_length", [4, 12, 25])
def test_the_length_of_the_engines_epochs_is_kept(epoch_length):
    """Smaller and larger than the loader: the plan goes on through the engine's epochs."""
    first = Run(saves=Events.ITERATION_COMPLETED, nth=3)
    whole = first.run(max_epochs=2, epoch_length=epoch_length)
    assert whole == [divmod(i, LENGTH) for i in range(2 * epoch_length)]
    again = Run().load(first.saved[0])
    assert again.run(max_epochs=2, epoch_length=epoch_length) == whole[3:]
    assert (again.engine.state.epoch_length, again.engine.state.iteration) == (epoch_length, 2 * epoch_length)


EVENTS = [Events.STARTED, Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=ENGINES, saves=st.sampled_from([*EVENTS, Events.GET_BATCH_STARTED]), nth=st.integers(1, 25),
    saves_first=st.booleans(), evaluates=st.sets(st.sampled_from([Events.STARTED, Events.EPOCH_COMPLETED])),
    epoch_length=st.sampled_from([None, 1, 4, 10, 12, 25]), end=st.integers(1, 3), by_iterations=st.booleans(),
    engine_too=st.booleans(),
)  # fmt: skip
def test_going_on_is_as_if_never_stopped(
    kind, saves, nth, saves_first, evaluates, epoch_length, end, by_iterations, engine_too
):
    """Whichever handler saves, before or after the plan's; evaluators may run on the trainer's loader."""
    until = {"max_iters": 9 * end} if by_iterations else {"max_epochs": end}
    until |= {"epoch_length": epoch_length} if epoch_length else {}
    whole = Run(kind, evaluates=evaluates).run(**until)
    assert whole == [divmod(i, LENGTH) for i in range(len(whole))]
    first = Run(kind, saves=saves, nth=nth, saves_first=saves_first, evaluates=evaluates)
    first.run(**until)
    if first.saved is None or first.saved[1] == len(whole):
        return  # a finished run would begin again
    states, trained = first.saved
    again = Run(kind, evaluates=evaluates).load(states, engine_too=engine_too)
    assert again.run(**until) == whole[trained:]


def test_after_an_exception_the_batch_that_failed_comes_again():
    failing = Run(fails_at=14)
    failing.engine.add_event_handler(Events.EXCEPTION_RAISED, lambda error: failing.save())
    failing.run(max_epochs=2)
    assert Run().load(failing.saved[0]).run(max_epochs=2) == epochs((1, 3, 10))


def test_an_epoch_that_is_terminated_is_over():
    def terminating():
        run = Run(saves=Events.ITERATION_COMPLETED, nth=8, evaluates=[Events.EPOCH_COMPLETED])
        run.engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: e.terminate_epoch() if e.state.iteration == 4 else None
        )
        return run

    whole = terminating()
    assert whole.run(max_iters=20) == epochs((0, 0, 4), (1, 0, 10), (2, 0, 6))
    assert Run().load(whole.saved[0]).run(max_iters=20) == epochs((1, 4, 10), (2, 0, 6))


def test_running_on_in_the_same_process_goes_on_where_the_run_ended():
    run = Run()
    run.run(max_epochs=1, epoch_length=4)
    assert run.run(max_epochs=3) == [divmod(i, LENGTH) for i in range(12)]


def test_a_checkpoint_from_before_the_first_batch():
    first = Run()
    first.save()
    assert Run().load(first.saved[0], engine_too=False).run(max_epochs=1) == epochs((0, 0, 10))


def test_another_samplers_loader_is_refused():
    run = Run()
    with pytest.raises(bw.Infeasible, match="not from the sampler that PlanProgress was given"):
        run.engine.run(loader(plan().sampler()), max_epochs=1)


def test_a_loader_without_batch_size_works_but_in_the_engine_that_would_drop_batches():
    for kind, works in ((Engine, True), (DeterministicEngine, False)):
        seen, sampler = [], plan().sampler()
        engine = kind(lambda engine, batch, seen=seen: seen.append(place(batch)))
        PlanProgress(engine, sampler)
        by_list = DataLoader(ByList(), batch_size=None, sampler=sampler)
        if works:
            engine.run(by_list, max_epochs=2)
            assert seen == epochs((0, 0, 10), (1, 0, 10))
        else:
            with pytest.raises(bw.Infeasible, match=r"make the loader with batch_sampler=plan\.sampler"):
                engine.run(by_list, max_epochs=2)


def test_another_world_keeps_what_an_epoch_is():
    """Saved by one process after 14 of 10 an epoch; two have 5 an epoch, and go on after 2 of the second's."""
    first = Run(saves=Events.ITERATION_COMPLETED, nth=14)
    first.run(max_epochs=2)
    ranks = processes.run(habits.ignite_goes_on, 2, first.saved[0])
    assert [iterations for _, iterations in ranks] == [15, 15]
    got = [tuple(place) for step in zip(*(seen for seen, _ in ranks), strict=True) for place in step]
    assert got == epochs((1, 4, 10), (2, 0, 10))
