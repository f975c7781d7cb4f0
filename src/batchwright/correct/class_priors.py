"""Class priors out of the group priors that a plan knows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import Infeasible

if TYPE_CHECKING:
    from ..groups import Groups

__all__ = ["ClassPriors", "SampledPlan", "class_priors"]

Part = Callable[[Any], Hashable]


class SampledPlan(Protocol):
    """A plan that knows who is in which group and how often each group is drawn."""

    @property
    def groups(self) -> Groups:
        """Who is in which group."""
        ...

    @property
    def natural_prior(self) -> np.ndarray:
        """The share of every group among all samples."""
        ...

    @property
    def sampled_prior(self) -> np.ndarray:
        """The share of every group in what is sampled."""
        ...

    @property
    def moves(self) -> bool:
        """Whether the target changes from epoch to epoch."""
        ...

    def prior_between(self, start: int, stop: int) -> np.ndarray:
        """The mean share of every group over micro-batches start..stop-1."""
        ...

    def weights(self, indices: Any, *, epoch: int = 0) -> np.ndarray:
        """Natural over sampled inclusion rate of these samples."""
        ...


@dataclass(frozen=True)
class ClassPriors:
    """Shares of classes, float64 (C,), or (D, C) with a row for each domain that sums to 1.

    Attributes:
        classes: the class of each logit, in order.
        domains: the domain of each row, in order; None for a single row.
        trained: shares in what was sampled.
        natural: shares among all samples.
    """

    classes: list[Hashable]
    domains: list[Hashable] | None
    trained: np.ndarray
    natural: np.ndarray


def class_priors(
    plan: SampledPlan,
    *,
    batches: int | None = None,
    order: Sequence[Hashable] | None = None,
    class_of: Part | None = None,
    domain_of: Part | None = None,
) -> ClassPriors:
    """The priors of the classes, summed over the plan's groups.

    Args:
        plan: what was sampled.
        batches: micro-batches trained, all ranks together; None takes the plan's own `sampled_prior`.
        order: the class of each logit; as the classes come in the plan's groups if left out.
        class_of: from a group's name to its class; the name itself if left out.
        domain_of: from a group's name to its domain, for a row a domain.

    Raises:
        Infeasible: `order` lacks a class that the plan knows, or a domain is never sampled.

    Example:
        >>> import batchwright as bw
        >>> cells = bw.Groups.from_sizes({("day", "cat"): 1, ("night", "cat"): 1, ("night", "dog"): 2})
        >>> plan = bw.balanced(cells, batch_size=3)
        >>> priors = class_priors(plan, class_of=lambda name: name[1], domain_of=lambda name: name[0])
        >>> priors.classes, priors.domains, priors.trained.tolist()
        (['cat', 'dog'], ['day', 'night'], [[1.0, 0.0], [0.5, 0.5]])
    """
    sampled = plan.sampled_prior if batches is None else plan.prior_between(0, batches)
    groups = list(plan.groups.names)
    of_class = groups if class_of is None else [class_of(name) for name in groups]
    of_domain = [None] * len(groups) if domain_of is None else [domain_of(name) for name in groups]

    classes = list(dict.fromkeys(of_class)) if order is None else list(order)
    missing = [name for name in dict.fromkeys(of_class) if name not in set(classes)]
    if missing:
        raise Infeasible(
            f"order names {len(classes)} classes, the plan has {missing[:3]} besides", "name the class of every logit"
        )
    column = {name: number for number, name in enumerate(classes)}
    domains = list(dict.fromkeys(of_domain))
    row = {name: number for number, name in enumerate(domains)}
    cells = [row[domain] for domain in of_domain], [column[name] for name in of_class]

    def summed(prior: np.ndarray) -> np.ndarray:
        table = np.zeros((len(domains), len(classes)))
        np.add.at(table, cells, prior)
        totals = table.sum(1)
        if totals.min() <= 0:
            raise Infeasible(
                f"domain {domains[int(totals.argmin())]!r} has share 0: nothing of it was sampled",
                "leave its samples out, or give it a share in the plan's target",
            )
        table /= totals[:, None]
        return table[0] if domain_of is None else table

    return ClassPriors(classes, None if domain_of is None else domains, summed(sampled), summed(plan.natural_prior))
