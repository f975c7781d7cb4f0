"""Logs the composition of the batches of all ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

from .base_plan import BasePlan
from .errors import Infeasible, check_integer, check_mapping, shortened, shown
from .groups import Groups
from .inputs.columns import numbers_of_plan
from .inputs.tables import by_column
from .run.sampler import BatchSampler
from .run.sampler_of import needed_sampler

__all__ = ["Composition", "Log"]

_MOST_GROUPS = 32  # with a share of their own in a report: loggers become slow with many more
_MOST_BATCHES = 1 << 20  # that are measured at once: each takes a few microseconds, and is kept meanwhile
_QUANTILES = 0.5, 0.9, 0.99  # of the deviations of more groups


class Log(Protocol):
    """A function that logs numbers, such as `accelerator.log`, a Lightning logger's `log_metrics`, or `wandb.log`."""

    def __call__(self, values: Mapping[str, float], step: int, /) -> Any:
        """Log some named numbers at a step."""
        ...


class _Range(NamedTuple):
    """Batches first..last-1 of an epoch."""

    epoch: int
    first: int
    last: int


class Composition:
    """Logs the composition of the batches of all ranks, once in so many batches, without communication.

    Every rank knows the whole plan. So it computes what the other ranks took; the batches of all ranks with the same
    number are counted together. Batches are counted through all epochs, also through those that end early: epochs of 18
    batches have a report after 50, 100 and 150 batches. So a report may be of the end of an epoch and the beginning of the
    next. After a resume on as many ranks, reports of a run of whole epochs come where they would have come without it. The
    first one is of the batches since the resume. Batches after the last report of the training are in none; `measured` has
    their numbers.

    The numbers are those of the batches since the last report:

    - `samples`: how many there were.
    - `share/<group>` and `target/<group>`: the share that each group had and should have. Of more than 32 groups, the 16
      largest, and the 16 others that are farthest from their targets.
    - `deviation`: the largest difference between the two over all groups. Of more than 32 groups, `deviation/0.5`,
      `deviation/0.9` and `deviation/0.99` too: the difference that half, 90 % and 99 % of them stay within.
    - `share/<name>/<group>`, ...: the same for every other grouping in `by`.
    - `tokens` and `token_share/<group>`: if lengths are given, how many there were, and each group's share of them.
    - `repeated`: how many samples in the lists of all ranks with one number repeat another sample there; a mean.
    - `padding`: the fraction of what is computed that is padding. Plans by lengths know it; for others and for buckets, if
      lengths are given, of micro-batches that are padded to their longest sample. Left out where it is not known.
    - `cost_spread`: how far the most expensive rank is above the mean of the ranks, which wait for it. Plans by lengths know
      what a micro-batch costs; for others, if costs are given.

    Args:
        sampler: the sampler of the training loader.
        every: the number of this rank's batches from one report to the next, up to 2^20.
        lengths: the length of every sample, array-like of shape (n_samples,).
        costs: the cost of every sample in any unit, array-like of shape (n_samples,).
        by: other groupings of the same samples, by a name for each: labels, array-like of shape (n_samples,), or `Groups`;
            or a data frame of such columns.

    Raises:
        Infeasible: `every` is below 1 or above 2^20, `sampler` is no sampler, or a column has not one value for each number
            the plan yields.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.balanced(["cat"] * 90 + ["dog"] * 10, batch_size=4, target={"cat": 0.75, "dog": 0.25})
        >>> composition = bw.Composition(plan.sampler(), every=2)
        >>> composition.after(2, lambda values, step: print(step, values["share/cat"], values["deviation"]), epoch=0)
        2 0.75 0.0
    """

    def __init__(
        self,
        sampler: BatchSampler,
        *,
        every: int = 50,
        lengths: Any = None,
        costs: Any = None,
        by: Any = None,
    ) -> None:
        sampler = needed_sampler(sampler)
        self.sampler = sampler
        self.every = check_integer(every, "every", least=1, most=_MOST_BATCHES)
        self._unreported: list[_Range] = []
        self._count = 0  # of batches towards the next report
        count = sampler.plan.groups.sample_count
        self.lengths = None if lengths is None else numbers_of_plan(lengths, count, called="lengths")
        self.costs = None if costs is None else numbers_of_plan(costs, count, called="costs")
        named = {} if by is None else check_mapping(by_column(by), "by")
        self.by = {shortened(name): self._grouped(labels, name) for name, labels in named.items()}
        if len(self.by) < len(named):
            raise Infeasible(
                f"by has {len(named)} groupings, and {len(self.by)} of them have names of their own",
                "give each a name of its own",
            )
        _check_names({"": sampler.plan.groups, **self.by})

    def _grouped(self, labels: Any, name: Any) -> Groups:
        groups, count = Groups.from_labels(labels), self.sampler.plan.groups.sample_count
        if groups.sample_count != count:
            raise Infeasible(
                f"by[{shown(name)}] has {groups.sample_count} labels, the plan yields {count} numbers",
                "pass one for each of them",
            )
        return groups

    def after(self, step: int, log: Log, *, epoch: int, at: int | None = None) -> None:
        """Call this after each of this rank's batches; it calls `log` once in `every` batches, through all epochs.

        Args:
            step: how many batches of the epoch this rank has had, also before a resume: `loader.batches_done`, not a count
                that begins at 1 in every process.
            log: receives the numbers.
            epoch: the epoch of these batches.
            at: the step to log at; if left out, the number of batches over all epochs.

        Raises:
            Infeasible: the step came before the run was resumed.
        """
        # Lists before a resume were those of another run, perhaps with another world size.
        resumed_at = self.sampler.started_at(epoch)
        if check_integer(step, "step", least=1) <= resumed_at:
            raise Infeasible(
                f"step {step} of epoch {epoch} came before the run was resumed, after {resumed_at} batches of it",
                f"count on from there: pass loader.batches_done, or enumerate(loader, {resumed_at + 1})",
            )
        total = epoch * len(self.sampler) + step
        self._note(step, epoch, resumed_at, total)
        if self._count >= self.every:
            self._count %= self.every
            ranges, self._unreported = self._unreported, [_Range(epoch, step, step)]
            places = [(of.epoch, number) for of in ranges for number in range(of.first, of.last)]
            log(self._measured(places), total if at is None else at)

    def _note(self, step: int, epoch: int, resumed_at: int, total: int) -> None:
        """Note the batches of an epoch up to `step` as those of the next report; `total` counts them from epoch 0 on."""
        last = self._unreported[-1] if self._unreported else None
        if last is not None and last.epoch == epoch and resumed_at < last.last < step:
            self._unreported[-1] = last._replace(last=step)
            self._count += step - last.last
            return
        self._unreported = [of for of in self._unreported if self._is_known(of)]
        if not self._unreported:  # the first of this run: go on in step with one that was not interrupted
            first = max(resumed_at, step - 1 - (total - 1) % self.every)
            self._count = (total - step + first) % self.every
        else:
            first = resumed_at if self._unreported[-1].epoch != epoch else max(resumed_at, step - 1)
        self._unreported.append(_Range(epoch, first, step))
        self._count += step - first

    def _is_known(self, of: _Range) -> bool:
        """Whether the batches are of this run: not of one before a state was loaded."""
        try:
            self.sampler.before(min(of.first, of.last - 1), epoch=of.epoch)
        except Infeasible:
            return False
        return True

    def measured(self, first: int, last: int, *, epoch: int) -> dict[str, float]:
        """Measure batches first..last-1 of an epoch: names and numbers as they are logged.

        Batches beyond the epoch are those of the next ones: three epochs are 0 to `3 * len(sampler)`.

        Raises:
            Infeasible: there are none, or more than 2^20.
        """
        if last <= first:
            raise Infeasible(f"batches from {first} to before {last} are none", "pass a `last` above `first`")
        if last - first > _MOST_BATCHES:
            raise Infeasible(
                f"batches from {first} to before {last} are more than {_MOST_BATCHES}", "measure fewer batches at once"
            )
        places = [divmod(step, len(self.sampler)) for step in range(first, last)]
        return self._measured([(epoch + later, step) for later, step in places])

    def _measured(self, places: list[tuple[int, int]]) -> dict[str, float]:
        """The numbers of batches, each given by its epoch and its number in it."""
        starts = [self.sampler.before(step, epoch=epoch) for epoch, step in places]
        together = self.sampler.fetched_by_all
        numbers = [(start.sequence, start.micro_batch + place) for start in starts for place in range(together)]
        batches = [of[number] for of, number in numbers]
        steps = [batches[at : at + together] for at in range(0, len(batches), together)]
        samples, plan = np.concatenate(batches), self.sampler.plan
        found = {"samples": float(samples.size)}
        weights = None if self.lengths is None else self.lengths[samples]
        if weights is not None:
            found["tokens"] = float(weights.sum())
        for name, groups in {"": plan.groups, **{f"/{name}": groups for name, groups in self.by.items()}}.items():
            if groups is plan.groups and plan.order is not None:  # shares may be set within an epoch
                target = self._target_within([number for _, number in numbers])
            else:
                target = self._target(groups, Counter(epoch for epoch, _ in places))
            found |= _shares(groups, samples, target, weights, name)
        found["repeated"] = float(np.mean([_repeats(np.concatenate(step)) for step in steps]))
        padded = _padding([self._tokens(*numbered, batch) for numbered, batch in zip(numbers, batches, strict=True)])
        if padded is not None:
            found["padding"] = padded
        work = self._work(batches)
        if work is not None:
            ranks = work.reshape(len(steps), -1, self.sampler.world_size).sum(axis=1)
            found["cost_spread"] = float(np.mean(ranks.max(axis=1) / ranks.mean(axis=1) - 1))
        return found

    def _target_within(self, numbers: list[int]) -> np.ndarray:
        """The wanted shares of the plan's groups, on average over micro-batches: most of them follow each other."""
        ends = [at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1]
        parts = [(numbers[first], end - first) for first, end in pairwise([0, *ends, len(numbers)])]
        shares = [count / len(numbers) * self.sampler.plan.prior_between(at, at + count) for at, count in parts]
        return np.asarray(sum(shares))

    def _target(self, groups: Groups, steps: Counter[int]) -> np.ndarray:
        """The wanted shares, on average over some epochs, by how many steps of each are measured."""
        plan, length = self.sampler.plan, self.sampler.plan.epoch_length()
        of_epoch = {epoch: plan.prior_between(epoch * length, (epoch + 1) * length, groups) for epoch in steps}
        return np.asarray(sum(count / steps.total() * of_epoch[epoch] for epoch, count in steps.items()))

    def _tokens(self, sequence: Any, number: int, samples: np.ndarray) -> tuple[float, float] | None:
        """The tokens of a micro-batch, and the tokens with what pads it; None where that is not known.

        Args:
            sequence: the sequence that the run takes it from.
            number: its number in that sequence.
            samples: its samples, as the sampler yields them.
        """
        # A plan by lengths whose steps change is no plan: what pads its micro-batches is known of the plan.
        plan = sequence if isinstance(sequence, BasePlan) else self.sampler.plan
        return self._tokens_of(plan, number, samples, 0)

    def _tokens_of(self, plan: Any, number: int, samples: np.ndarray, offset: int) -> tuple[float, float] | None:
        """The same.

        Args:
            plan: the plan that the micro-batch belongs to.
            number: its number in that plan; asked for where tasks take turns.
            samples: its samples, as the sampler yields them.
            offset: what is added to the plan's own numbers of them: it is the plan of a task.
        """
        if plan.children:
            task, own = plan.turn_of(number)
            return self._tokens_of(plan.children[task], own, samples, offset + plan.starts[task])
        if plan.cutter is not None and plan.cutter.knows_padding:
            found: tuple[float, float] = plan.cutter.tokens(plan.admission.items_in(samples - offset)[0])
            return found
        pads_none = plan.planned_lengths is not None and plan.padded_budget is None
        if self.lengths is None or pads_none:
            return None
        lengths = self.lengths[samples]
        return float(lengths.sum()), float(lengths.max() * lengths.size)

    def _work(self, batches: list[np.ndarray]) -> np.ndarray | None:
        """What each micro-batch costs, where that is known."""
        plan: Any = self.sampler.plan
        if self.costs is not None:
            return np.array([self.costs[batch].sum() for batch in batches])
        return np.asarray(plan.cost(batches)) if plan.cutter is not None else None


def _check_names(groupings: Mapping[str, Groups]) -> None:
    """Refuse groupings of which two groups would be logged under one name, as "lang/x" and "x" of "lang"."""
    for of, groups in groupings.items():
        for other, those in groupings.items():
            within = other.removeprefix(f"{of}/") if of else other
            if other == of or not other.startswith(f"{of}/" if of else ""):
                continue
            longer = {text for name in groups.called if (text := str(name)).startswith(f"{within}/")}
            for name in those.called if longer else ():
                if f"{within}/{name}" in longer:
                    of_which = f"by[{shown(of)}]" if of else "the plan"
                    raise Infeasible(
                        f"a group {shown(f'{within}/{name}')} of {of_which} and a group {shown(str(name))} of "
                        f"by[{shown(other)}] would be logged under one name",
                        "give that grouping another name in `by`",
                    )


def _shares(
    groups: Groups, samples: np.ndarray, target: np.ndarray, weights: np.ndarray | None, of: str
) -> dict[str, float]:
    """The share and the target of each group, or of some of many; `of` follows the first word of every name."""
    codes = np.asarray(groups.group_of(samples))
    count = target.size
    share = np.bincount(codes, minlength=count)[:count] / samples.size
    apart = np.abs(share - target)
    found = {f"deviation{of}": float(apart.max())}
    largest = np.argsort(-groups.sizes, kind="stable")
    named = largest[:_MOST_GROUPS]
    if count > _MOST_GROUPS:
        found |= {f"deviation{of}/{at}": float(np.quantile(apart, at)) for at in _QUANTILES}
        rest = largest[_MOST_GROUPS // 2 :]
        named = np.append(
            named[: _MOST_GROUPS // 2], rest[np.argsort(-apart[rest], kind="stable")[: _MOST_GROUPS // 2]]
        )
    tokens = None if weights is None else np.bincount(codes, weights=weights, minlength=count)[:count] / weights.sum()
    numbers = named.tolist()
    texts = [str(groups.called[group]) for group in numbers]
    often = Counter(texts)
    for group, text in zip(numbers, texts, strict=True):
        name = text if often[text] == 1 else shown(groups.names[group])  # such as 1 and "1"
        found[f"share{of}/{name}"], found[f"target{of}/{name}"] = float(share[group]), float(target[group])
        if tokens is not None:
            found[f"token_share{of}/{name}"] = float(tokens[group])
    return found


def _padding(tokens: list[tuple[float, float] | None]) -> float | None:
    """The part of padding in micro-batches; None if it is not known of all of them."""
    known = [one for one in tokens if one is not None]
    if len(known) < len(tokens):
        return None
    used, computed = np.sum(known, axis=0).tolist()
    return 1 - used / computed if computed else 0.0


def _repeats(samples: np.ndarray) -> int:
    return int(samples.size - np.unique(samples).size)
