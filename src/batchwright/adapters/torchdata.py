"""torchdata: `StatefulDataLoader` needs no adapter; this module takes the sampler's state out of its state.

A state of a `StatefulDataLoader` can be loaded only with the number of workers with which it was saved. The state of
the sampler in it has no such limit.
"""

from __future__ import annotations

from typing import Any

from ..errors import Infeasible

__all__ = ["sampler_state"]


def sampler_state(loader_state: dict[str, Any]) -> dict[str, Any]:
    """The state of the sampler in a state of `StatefulDataLoader`, to resume with another number of workers.

    Args:
        loader_state: what `StatefulDataLoader.state_dict()` returned, for a loader with a batchwright sampler.

    Returns:
        A state for `BatchSampler.load_state_dict`.

    Raises:
        Infeasible: there is no state of such a sampler in it, or its snapshot is older than the step it is of.

    Example:
        >>> import batchwright as bw
        >>> from torchdata.stateful_dataloader import StatefulDataLoader
        >>> sampler = bw.shuffled(8, batch_size=2).sampler()
        >>> sampler_state(StatefulDataLoader(range(8), batch_sampler=sampler).state_dict()) == sampler.state_dict()
        True
    """
    snapshot = loader_state.get("_snapshot")
    if snapshot is not None and loader_state["_steps_since_snapshot"]:
        raise Infeasible(
            f"the state is {loader_state['_steps_since_snapshot']} steps older than the loader was",
            "build the loader with snapshot_every_n_steps=1",
        )
    main = loader_state if snapshot is None else snapshot["_main_snapshot"]
    state = main.get("_index_sampler_state")
    if not state or "fingerprint" not in state:
        raise Infeasible(
            "the loader's state holds no batchwright sampler's",
            "build the loader with batch_sampler=plan.sampler()",
        )
    return dict(state)
