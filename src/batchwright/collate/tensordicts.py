"""The entries of a batch, as the model sees them, as a TensorDict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import Infeasible

if TYPE_CHECKING:
    from tensordict import TensorDict

__all__ = ["tensordict_of"]


def tensordict_of(entries: Mapping[str, Any], count: int) -> TensorDict:
    """A TensorDict of the entries of `count` samples.

    Its batch size is (count,) if every entry has a row for each sample, otherwise ().

    Raises:
        Infeasible: tensordict is not installed.
    """
    try:
        from tensordict import NonTensorData, TensorDict
    except ImportError:
        raise Infeasible(
            "tensordict is not installed", "install it with `pip install tensordict`, or take the entries: dict(batch)"
        ) from None

    def held(value: Any) -> Any:
        if isinstance(value, Mapping):
            return TensorDict({name: held(one) for name, one in value.items()}, batch_size=size)
        if isinstance(value, Tensor) or (isinstance(value, list) and size):
            return value
        return NonTensorData(value, batch_size=size)

    size = [count] if _by_sample(entries, count) else []
    made: TensorDict = held(entries)
    return made


def _by_sample(value: Any, count: int) -> bool:
    """Whether the value has a row for each sample. Values that are neither tensors nor lists belong to all samples."""
    if isinstance(value, Mapping):
        return all(_by_sample(one, count) for one in value.values())
    if isinstance(value, Tensor):
        return bool(value.ndim) and value.size(0) == count
    return not isinstance(value, list) or len(value) == count
