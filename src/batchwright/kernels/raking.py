"""Evaluates raked weights once: the weights for given multipliers, their sums by attribute, and the derivatives."""

from __future__ import annotations

import math

from .compile import kernel

__all__ = ["evaluate_raking"]


@kernel(
    "float64(float64[::1], float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1], float64[::1], "
    "float64[:, ::1])",
    allocates=False,
)
def evaluate_raking(multipliers, base, floor, cap, starts, attributes, weights, sums, curvature):
    """Write the weights `base * exp(sum of the multipliers of its attributes)`, cut off at floor and cap, and their sums.

    Args:
        multipliers: for each attribute, float64 (attributes,).
        base, floor, cap: for each item its weight before, and the limits of its weight (0 and infinity for none).
        starts, attributes: the attributes of item i are `attributes[starts[i]:starts[i + 1]]`.
        weights: out; float64 (items,).
        sums: out; the sum of weights by attribute.
        curvature: out; the derivative of the sums by the multipliers, a symmetric matrix.

    Returns:
        The sum over the items of the integral of the weight by its exponent: the convex function whose gradient is
        `sums`.
    """
    sums[:] = 0.0
    curvature[:] = 0.0
    total = 0.0
    for item in range(base.size):
        first, last = starts[item], starts[item + 1]
        exponent = 0.0
        for place in range(first, last):
            exponent += multipliers[attributes[place]]
        # Above exp(709) float64 is infinite; exp(700) leaves room for the product with `base`, and for sums over items.
        weight = base[item] * math.exp(min(exponent, 700.0))
        free = floor[item] < weight < cap[item]
        if free:
            total += weight
        else:
            weight = min(max(weight, floor[item]), cap[item])
            if weight > 0.0:
                total += weight * (1.0 + exponent - math.log(weight / base[item]))
        weights[item] = weight
        for place in range(first, last):
            one = attributes[place]
            sums[one] += weight
            if free:
                for further in range(place, last):
                    curvature[one, attributes[further]] += weight
    for one in range(sums.size):  # attributes of an item ascend, so only the upper triangle was filled
        for other in range(one):
            curvature[one, other] = curvature[other, one]
    return total
