"""Random sequences of calls of a sampler, held against a model that keeps only what was asked for.

The model knows no position arithmetic: it has the plan's own epochs (`plan.epoch(e, step_size)`), and says which of its
lists must come next. It stays in one world; `worlds` below goes through several and counts samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import batchwright as bw

LABELS = np.repeat(np.arange(4), [17, 9, 5, 3])
LENGTHS = np.random.default_rng(3).integers(4, 40, 60)

PLANS: dict[str, Callable[[], Any]] = {
    "fixed": lambda: bw.shuffled(10, 2),
    "balanced": lambda: bw.balanced(LABELS, 8, target=0.5),
    "tasks": lambda: bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(5, 2)}),
    "tasks by step": lambda: bw.alternating({"a": bw.shuffled(9, 3), "b": bw.shuffled(5, 2)}, unit="step"),
    "lengths": lambda: bw.budgeted(LENGTHS, 200, window="epoch"),
    "windows": lambda: bw.packed(LENGTHS, 60, window=6),
}
BUILT: dict[str, Any] = {}


@dataclass
class Model:
    """Where a sampler must be: the next list, whether an epoch has begun, and what the iterators that were made yield.

    Attributes:
        epoch: the epoch of the place.
        step: the list of it that comes.
        drawn: whether an iterator has drawn from it, so that the next one begins the epoch after.
        iterators: those that were made: None until the first `next`, then [epoch, step].
    """

    length: int
    epoch: int = 0
    step: int = 0
    drawn: bool = False
    iterators: list[Any] = field(default_factory=list)

    @property
    def next(self) -> tuple[int, int]:
        """The epoch and step that the next iterator begins at."""
        if self.drawn:
            return self.epoch + 1, 0
        return (self.epoch, self.step) if self.step < self.length else (self.epoch + 1, 0)

    @property
    def here(self) -> tuple[int, int]:
        """What a state says."""
        return (self.epoch, self.step) if self.step < self.length else (self.epoch + 1, 0)

    def put(self, epoch: int, step: int) -> None:
        self.epoch, self.step, self.drawn = epoch, step, False

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.next[0] or self.drawn:
            self.put(epoch, 0)


def run(choose: Callable[[int], int], calls: int) -> list[str]:
    """A random sequence of calls; what was done, in words. `choose(n)` gives a number below n."""
    kind = sorted(PLANS)[choose(len(PLANS))]
    plan = BUILT.setdefault(kind, PLANS[kind]())
    world, accumulate, fetch = 1 + choose(3), 1 + choose(2), ("micro", "step", 2)[choose(3)]
    rank = choose(world)
    said = [f"{kind}, rank {rank} of {world}, accumulate {accumulate}, fetch {fetch}"]

    def made() -> Any:
        return plan.sampler(rank=rank, world_size=world, accumulate=accumulate, fetch=fetch)

    sampler = made()
    together = sampler.fetch
    step_size = world * int(np.lcm(accumulate, together))
    model = Model(len(sampler))
    iterators: list[Any] = []
    states: list[tuple[dict[str, Any], tuple[int, int]]] = []

    def expected(epoch: int, step: int) -> list[int]:
        micro_batches = plan.epoch(epoch, step_size)
        first = step * world * together + rank
        return [i for number in range(together) for i in micro_batches[first + number * world].tolist()]

    for _ in range(calls):
        match choose(10):
            case 0:
                said.append("iter")
                iterators.append(iter(sampler))
                model.iterators.append(None)
            case 1 | 2 | 3 if iterators:
                which, count = choose(len(iterators)), 1 + choose(model.length + 1)
                said.append(f"next of iterator {which}, {count} times")
                for _ in range(count):
                    begun = model.iterators[which]
                    if begun is None:
                        begun = model.iterators[which] = list(model.next)
                    elif (
                        not model.drawn and begun[1] < model.length and model.next not in ((begun[0], 0), tuple(begun))
                    ):  # another place was asked for: it is refused, and the iterator is over
                        with pytest.raises(bw.Infeasible, match="before iter"):
                            next(iterators[which])
                        begun[1] = model.length
                        break
                    got = next(iterators[which], None)
                    if begun[1] == model.length:
                        assert got is None, said
                        break
                    assert got == expected(*begun), said
                    begun[1] += 1
                    model.epoch, model.step, model.drawn = begun[0], begun[1], True
            case 4:
                epoch = choose(5)
                said.append(f"set_epoch({epoch})")
                sampler.set_epoch(epoch)
                model.set_epoch(epoch)
            case 5:
                step, epoch = choose(model.length + 1), choose(5)
                said.append(f"seek({step}, epoch={epoch})")
                sampler.seek(step, epoch=epoch)
                model.put(epoch, step)
            case 6:
                said.append("state_dict")
                states.append((sampler.state_dict(), model.here))
            case 7 if states:
                state, place = states[choose(len(states))]
                said.append(f"load_state_dict of {place}")
                if choose(2):
                    sampler, iterators, model.iterators = made(), [], []
                    said[-1] += " in a new process"
                sampler.load_state_dict(state)
                model.put(*place)
            case 8:
                step, epoch = choose(model.length + 1), choose(5)
                said.append(f"state_at({step}, epoch={epoch})")
                place = (epoch, step) if step < model.length else (epoch + 1, 0)
                states.append((sampler.state_at(step, epoch=epoch), place))
            case 9:
                said.append("a pass broken off or whole")
                count = choose(model.length + 1)
                begun = list(model.next)
                for _, lists in zip(range(count), sampler, strict=False):
                    assert lists == expected(*begun), said
                    begun[1] += 1
                    model.epoch, model.step, model.drawn = begun[0], begun[1], True
                    if begun[1] == model.length:
                        break
        assert (sampler.epoch, sampler.batches_done) == model.next, said
        if model.drawn:
            given = sampler.all_ranks(model.step - 1, epoch=model.epoch)[rank::world]
            assert [i for batch in given for i in batch.tolist()] == expected(model.epoch, model.step - 1), said
        state = sampler.state_dict()
        assert (state["epoch"], state["consumed"]) == (model.here[0], model.here[1] * world * together), said
    return said
