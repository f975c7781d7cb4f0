"""Where a plan that cuts takes its samples from: any plan's order, or a plain shuffle."""

from __future__ import annotations

from ..errors import Infeasible
from ..orders import Order, is_shared
from .balanced import shuffled
from .fixed import FixedPlan

__all__ = ["source_of"]


def source_of(order: FixedPlan | None, sample_count: int, seed: int) -> tuple[FixedPlan, int | None]:
    """The plan whose order is cut, and the places of an epoch where every epoch holds the same samples (else None).

    Raises:
        Infeasible: the order is over another number of samples, or keeps samples together that cutting would tear apart.
    """
    if sample_count == 0:
        raise Infeasible("the dataset is empty: 0 lengths", "pass at least one sample")
    if order is None:
        # One sample at a time: a pass then ends where an epoch does, to the sample.
        return shuffled(sample_count, 1, seed=seed), sample_count
    if not isinstance(getattr(order, "order", None), Order):
        raise Infeasible(f"order is a {type(order).__name__}", "pass a plan of balanced, weighted, shuffled or mixed")
    together = samples_together(order.order)
    if together > 1:
        raise Infeasible(
            f"the order keeps {together} samples of a group together in a micro-batch, and cutting it by lengths tears them "
            "apart",
            "build the order with 1 (per_class, per_source, the last of per), or give that plan to the loader itself, uncut",
        )
    if order.groups.sample_count != sample_count:
        raise Infeasible(
            f"the order is over {order.groups.sample_count} samples, there are {sample_count} lengths",
            "pass one length for every sample of the order",
        )
    return order, None


def samples_together(order: Order) -> int:
    """The most samples of a group that an order, or that of a source in it, keeps together in a micro-batch; 1 for none."""
    if not is_shared(order):
        return 1
    return max(order.per_ticket, *(samples_together(child) for child in order.children.values()), 1)
