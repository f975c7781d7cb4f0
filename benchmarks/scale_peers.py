"""What the samplers of torch, torchdata, grain and mosaicml-streaming cost over many samples, for `scale.py`."""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scale_measures import Peak, timed
from torchdata.stateful_dataloader import StatefulDataLoader

REPLAYED = 10_000_000  # samples that a peer is let run through to resume
MOST_OF_TORCH = 100_000_000  # a list of Python integers takes 46 bytes a sample
MOST_OF_MOSAIC = 100_000_000  # its order of an epoch takes some 60 bytes a sample


def peers(count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Samplers of other libraries over as many samples: a shuffle, weights, and what resuming costs."""

    def of(make: Callable[[], Any], resume: Callable[[Any], Any] | None) -> dict[str, float]:
        with Peak() as peak:
            held = make()
            first, _ = timed(lambda: next(iter(held)))
        told = {"build": peak.seconds - first, "MB": peak.most, "first": first}
        if resume is not None:
            told["resume"], _ = timed(lambda: resume(held))
        return told

    data = range(count)
    if count <= MOST_OF_TORCH:
        yield (
            "torch RandomSampler",
            of(lambda: torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 64, True), None),
        )
    if count < 1 << 24:  # torch.multinomial takes no more
        weights = torch.rand(count)
        yield (
            "torch WeightedRandomSampler",
            of(
                lambda: torch.utils.data.BatchSampler(torch.utils.data.WeightedRandomSampler(weights, count), 64, True),
                None,
            ),
        )

    def stateful() -> Any:
        return StatefulDataLoader(data, batch_size=64, shuffle=True)

    def replay(loader: Any) -> Any:
        iterator = iter(loader)
        for _ in range(min(count, REPLAYED) // 128):
            next(iterator)
        state = loader.state_dict()
        fresh = stateful()
        fresh.load_state_dict(state)
        return timed(lambda: next(iter(fresh)))[0]

    if count <= REPLAYED:
        held = stateful()
        first, _ = timed(lambda: next(iter(held)))
        yield "torchdata StatefulDataLoader", {"first": first, "resume": replay(stateful())}
    try:
        import grain
    except ImportError:
        pass
    else:
        yield (
            "grain MapDataset.shuffle",
            of(
                lambda: grain.MapDataset.range(count).shuffle(seed=0).batch(64).repeat(),
                lambda held: held[count // 128],
            ),
        )
    if count <= MOST_OF_MOSAIC and (order := mosaic(count)) is not None:
        yield "mosaicml-streaming, an epoch", of(lambda: [order(0)], lambda held: order(count // 2))


@functools.cache
def mosaic_functions() -> tuple[Any, Any] | None:
    """What makes the order of an epoch in mosaicml-streaming: its numpy alone, without its storage clients."""
    spec = importlib.util.find_spec("streaming")
    if spec is None or spec.submodule_search_locations is None:
        return None
    (home,) = spec.submodule_search_locations
    for name, path in (("streaming", home), ("streaming.base", f"{home}/base")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [path]
    from streaming.base.partition import get_partitions
    from streaming.base.shuffle import get_shuffle

    return get_partitions, get_shuffle


def mosaic(count: int) -> Callable[[int], Any] | None:
    """The order of an epoch of eight ranks, from a sample on."""
    functions = mosaic_functions()
    if functions is None:
        return None
    get_partitions, get_shuffle = functions

    def order(drop_first: int) -> Any:
        ids = get_partitions("relaxed", count, 8, 1, 8, 1, 64, drop_first)
        shuffled = get_shuffle("py1e", np.full(1000, count // 1000), 8, 0, 0)
        return np.where(ids != -1, shuffled[ids], -1)

    return order
