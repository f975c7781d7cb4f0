"""Training plans whose order is not drawn: that of the file, and one that the user gives."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Literal

import numpy as np

from .. import columns
from ..errors import Infeasible, warn
from ..group_parts import MOST_SAMPLES
from ..groups import Groups
from ..kernels.deal import ROUND
from ..orders import InTurn
from ..orders.finite import InFileOrder, Listed
from ..orders.shares import TargetShares, WeightShares
from ..targets import natural
from .balanced import checked, epoch_batches
from .fixed import FixedPlan
from .poor import faults

__all__ = ["ordered", "sequential"]

_MOST_COUNTED = 1 << 31  # samples that `ordered` keeps a share of: 16 GiB


def sequential(samples: int | Sized, batch_size: int, *, epoch: int | Literal["natural"] = "natural") -> FixedPlan:
    """The samples in the order of the file, over and over.

    Use it for training on data whose order matters. To evaluate, use `evaluation`: this is a training plan, whose epochs are
    rounded up to full micro-batches and to the number of ranks. The order goes on over the end of an epoch.

    Args:
        samples: how many samples there are, or a dataset that has a length.
        batch_size: samples in every micro-batch.
        epoch: "natural" (as many micro-batches as hold every sample once) or a number of micro-batches.

    Raises:
        Infeasible: no samples, or a batch size below 1.

    Warns:
        PoorWarning: a micro-batch has more samples than there are.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.sequential(5, batch_size=2)
        >>> [plan[t].tolist() for t in range(4)]
        [[0, 1], [2, 3], [4, 0], [1, 2]]
    """
    batch_size, _, _ = checked(batch_size, 1, 0)
    count = columns.sample_count(samples, called="samples")
    if count > MOST_SAMPLES:
        raise Infeasible(f"samples is {count}, the most is {MOST_SAMPLES}", f"pass {MOST_SAMPLES} or fewer")
    groups = Groups.from_sizes({"all": count})
    order = InTurn(InFileOrder(count), groups, TargetShares(natural(), groups), batch_size)
    return _plan(order, epoch)


def ordered(
    indices: Any,
    batch_size: int,
    *,
    samples: int | Sized | None = None,
    epoch: int | Literal["natural"] = "natural",
) -> FixedPlan:
    """Samples in an order of your own, over and over, such as a curriculum.

    Use it where you decide what comes when: easy samples first, a recorded order, the samples of an active learner. An
    index may come several times; one that is left out is never drawn.

    Args:
        indices: array-like of shape (n_places,), integers: the sample at every place of the order.
        batch_size: samples in every micro-batch.
        samples: how many samples the data set has, or the data set; the largest index and one more if left out.
        epoch: "natural" (as many micro-batches as hold the order once) or a number of micro-batches.

    Raises:
        Infeasible: no indices; indices that are no whole numbers (a mask, missing values); an index below 0 or beyond the
            data set; a batch size below 1.

    Warns:
        PoorWarning: a micro-batch has more samples than the order has places.

    Example:
        >>> import batchwright as bw
        >>> losses = [0.3, 2.5, 0.1, 0.9]
        >>> plan = bw.ordered(sorted(range(4), key=losses.__getitem__), batch_size=2, samples=losses)
        >>> [batch.tolist() for batch in plan.epoch(0)]
        [[2, 0], [3, 1]]
    """
    batch_size, _, _ = checked(batch_size, 1, 0)
    column = columns.column(indices, called="indices")
    if not column.size:
        raise Infeasible("there are 0 indices", "pass the number of one sample or more")
    listed = columns.sample_numbers(column, called="indices").astype(np.int64)
    if listed.min() < 0:
        place = int(listed.argmin())
        raise Infeasible(f"index {listed[place]} at place {place} is below 0", "pass indices of 0 or more")
    count = int(listed.max()) + 1 if samples is None else columns.sample_count(samples, called="samples")
    if listed.max() >= count:
        place = int(listed.argmax())
        raise Infeasible(
            f"index {listed[place]} at place {place} is beyond the data set of {count} samples",
            f"pass indices from 0 to {count - 1}",
        )
    if count > _MOST_COUNTED:
        raise Infeasible(
            f"a data set of {count} samples, of which each is counted; the most is {_MOST_COUNTED}",
            f"pass indices below {_MOST_COUNTED}, and samples to match",
        )
    often = np.bincount(listed, minlength=count)
    shares = WeightShares(often, ROUND * batch_size)
    shares.shown = "the order given"
    return _plan(InTurn(Listed(listed), Groups.singletons(count), shares, batch_size), epoch)


def _plan(order: InTurn, epoch: Any) -> FixedPlan:
    warn(*faults(order))
    natural_epoch = -(-order.places.count // order.batch_size)
    return FixedPlan(order, epoch_batches=epoch_batches(epoch, natural=natural_epoch))
