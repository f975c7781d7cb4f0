"""Ignite: a resumed run sees what an unbroken one sees, with any epochs and other readers of the loader."""

from __future__ import annotations

import copy
import warnings

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import batchwright as bw

from .. import processes
from ..examples import examples
from .places import LENGTH, ByList, epochs, made, place, plan
from .programs import habits

with warnings.catch_warnings():  # torch's own, when it is imported
    warnings.simplefilter("ignore")
    from ignite.engine import DeterministicEngine, Engine, Events

    from batchwright.adapters.ignite import PlanProgress

pytestmark = pytest.mark.filterwarnings("ignore", "error::batchwright.PoorWarning")

ENGINES = st.sampled_from([Engine, DeterministicEngine])


class Run:
    """An engine on a plan's loader, in a new process, as it were; it may save once and run other engines on its loader."""

    def __init__(
        self, kind=Engine, *, saves=None, nth=1, saves_first=False, workers=0, evaluates=(), fails_at=0, by="loader"
    ):
        self.seen, self.saved, self.left, self.fails_at = [], None, nth, fails_at
        self.loader = made("sampler" if by == "sampler" else "loader", workers=workers)
        self.engine = kind(self._update)
        if saves_first and saves:
            self.engine.add_event_handler(saves, self._save)
        if by == "alone":
            self.progress = self.loader
        else:
            self.progress = PlanProgress(self.engine, self.loader if by == "loader" else self.loader.batch_sampler)
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


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        (Engine, "loader"), (DeterministicEngine, "loader"), (Engine, "sampler"), (DeterministicEngine, "sampler"),
        (Engine, "alone"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_resumed_in_mid_epoch_leaves_done_batches_out_once(kind, by, workers):
    first = Run(kind, saves=Events.ITERATION_COMPLETED, nth=14, workers=workers, by=by)
    first.run(max_epochs=2)
    again = Run(kind, workers=2 - workers, by=by).load(first.saved[0])
    assert again.run(max_epochs=3) == epochs((1, 4, 10), (2, 0, 10))


@pytest.mark.parametrize("by", ["loader", "sampler", "alone"])
@pytest.mark.parametrize("epoch_length", [4, 12, 25])
def test_the_length_of_the_engines_epochs_is_kept(epoch_length, by):
    """Smaller and larger than the loader: the plan goes on through the engine's epochs."""
    first = Run(saves=Events.ITERATION_COMPLETED, nth=3, by=by)
    whole = first.run(max_epochs=2, epoch_length=epoch_length)
    assert whole == [divmod(i, LENGTH) for i in range(2 * epoch_length)]
    again = Run(by=by).load(first.saved[0])
    assert again.run(max_epochs=2, epoch_length=epoch_length) == whole[3:]
    assert (again.engine.state.epoch_length, again.engine.state.iteration) == (epoch_length, 2 * epoch_length)


EVENTS = [Events.STARTED, Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED]


@examples(80, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=ENGINES, saves=st.sampled_from([*EVENTS, Events.GET_BATCH_STARTED]), nth=st.integers(1, 25),
    saves_first=st.booleans(), evaluates=st.sets(st.sampled_from([Events.STARTED, Events.EPOCH_COMPLETED])),
    epoch_length=st.sampled_from([None, 1, 4, 10, 12, 25]), end=st.integers(1, 3), by_iterations=st.booleans(),
    engine_too=st.booleans(), by=st.sampled_from(["loader", "sampler"]),
)  # fmt: skip
def test_going_on_is_as_if_never_stopped(
    kind, saves, nth, saves_first, evaluates, epoch_length, end, by_iterations, engine_too, by
):
    """Whichever handler saves, before or after the plan's; evaluators may run on the trainer's loader.

    On a plan's own loader they may run between its epochs: it has one loop at a time.
    """
    if by == "loader" and epoch_length not in (None, LENGTH):
        evaluates = evaluates - {Events.EPOCH_COMPLETED}
    until = {"max_iters": 9 * end} if by_iterations else {"max_epochs": end}
    until |= {"epoch_length": epoch_length} if epoch_length else {}
    whole = Run(kind, evaluates=evaluates, by=by).run(**until)
    assert whole == [divmod(i, LENGTH) for i in range(len(whole))]
    first = Run(kind, saves=saves, nth=nth, saves_first=saves_first, evaluates=evaluates, by=by)
    first.run(**until)
    if first.saved is None or first.saved[1] == len(whole):
        return  # a finished run would begin again
    states, trained = first.saved
    again = Run(kind, evaluates=evaluates, by=by).load(states, engine_too=engine_too)
    assert again.run(**until) == whole[trained:]


@examples(30, suppress_health_check=[HealthCheck.too_slow])
@given(
    saves=st.sampled_from(EVENTS), nth=st.integers(1, 25), epoch_length=st.sampled_from([None, 1, 4, 10, 12, 25]),
    end=st.integers(1, 3), by_iterations=st.booleans(),
)  # fmt: skip
def test_the_loader_alone_goes_on_in_the_same_world(saves, nth, epoch_length, end, by_iterations):
    """`Checkpoint(to_save={"trainer": trainer, "loader": loader})` is all, without PlanProgress."""
    until = {"max_iters": 9 * end} if by_iterations else {"max_epochs": end}
    until |= {"epoch_length": epoch_length} if epoch_length else {}
    first = Run(saves=saves, nth=nth, by="alone")
    whole = first.run(**until)
    assert whole == [divmod(i, LENGTH) for i in range(len(whole))]
    if first.saved is None or first.saved[1] == len(whole):
        return
    states, trained = first.saved
    assert Run(by="alone").load(states).run(**until) == whole[trained:]


@pytest.mark.parametrize("by", ["loader", "sampler", "alone"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluator_runs_in_mid_epoch_on_a_loader_of_its_own(by, workers):
    """Every third iteration, over all of 21 samples, and the run is saved while it does."""
    held_out = bw.evaluation(21, batch_size=4).loader(range(21), num_workers=workers)

    def evaluated(run):
        counted = []
        evaluator = Engine(lambda engine, batch: counted.extend(batch[: held_out.real].tolist()))
        if run.left:
            evaluator.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda _: run._save())
        run.engine.add_event_handler(Events.ITERATION_COMPLETED(every=3), lambda _: evaluator.run(held_out))
        return counted

    first = Run(nth=4, by=by)
    counted = evaluated(first)
    whole = first.run(max_epochs=2)
    assert whole == epochs((0, 0, 10), (1, 0, 10))
    assert counted == [*range(21)] * 6
    again = Run(by=by, nth=0).load(first.saved[0])
    evaluated(again)
    assert again.run(max_epochs=2) == whole[12:]


@pytest.mark.parametrize("by", ["loader", "alone"])
def test_an_evaluator_on_the_trainers_loader_in_mid_epoch_is_refused(by):
    run = Run(by=by, evaluates=[Events.ITERATION_COMPLETED(once=3)])
    with pytest.raises(bw.Infeasible, match=r"another loop over this loader has begun since.*or bw\.evaluation"):
        run.run(max_epochs=1)
    assert run.seen == epochs((0, 0, 3))


@pytest.mark.parametrize(("by", "step"), [("loader", 3), ("sampler", 3), ("alone", 4)])
def test_after_an_exception_the_batch_that_failed_comes_again(by, step):
    """With PlanProgress; a loader alone has given it."""
    failing = Run(fails_at=14, by=by)
    failing.engine.add_event_handler(Events.EXCEPTION_RAISED, lambda error: failing.save())
    failing.run(max_epochs=2)
    again = Run(by=by).load(failing.saved[0], engine_too=by != "alone")
    assert again.run(max_epochs=2)[: 10 - step] == epochs((1, step, 10))


def test_a_look_before_the_run_takes_nothing_from_it():
    for by in ("loader", "alone"):
        run = Run(by=by)
        next(iter(run.loader))
        assert run.run(max_epochs=1) == epochs((0, 0, 10))


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
    for other in (made("loader"), made("sampler")):
        with pytest.raises(bw.Infeasible, match="not from the sampler of what PlanProgress was given"):
            Run().engine.run(other, max_epochs=1)


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
