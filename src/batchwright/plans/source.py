"""Where a plan that cuts takes its samples from: any plan's order, or a plain shuffle."""

from __future__ import annotations

from ..errors import Infeasible
from ..orders import Order
from .build import shuffled
from .fixed import FixedPlan

__all__ = ["source_of"]


def source_of(order: FixedPlan | None, sample_count: int, seed: int) -> tuple[FixedPlan, int | None]:
    """The plan whose order is cut, and the places of an epoch where every epoch holds the same samples (else None).

    Raises:
        Infeasible: the order is over another number of samples.
    """
    if sample_count == 0:
        raise Infeasible("the dataset is empty: 0 lengths", "pass at least one sample")
    if order is None:
        # One sample at a time: a pass then ends where an epoch does, to the sample.
        return shuffled(sample_count, 1, seed=seed), sample_count
    if not isinstance(getattr(order, "order", None), Order):
        raise Infeasible(f"order is a {type(order).__name__}", "pass a plan of balanced, weighted, shuffled or mixed")
    if order.groups.sample_count != sample_count:
        raise Infeasible(
            f"the order is over {order.groups.sample_count} samples, there are {sample_count} lengths",
            "pass one length for every sample of the order",
        )
    return order, None
