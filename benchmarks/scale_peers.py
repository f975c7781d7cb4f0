"""What the samplers of torch, torchdata, grain and mosaicml-streaming cost over many samples, for `scale.py`."""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from scale_measures import RANDOM, Peak, Row, memory, seconds, timed
from torchdata.stateful_dataloader import StatefulDataLoader

REPLAYED = 10_000_000  # samples that a peer is let run through to resume: a microsecond each, twice
MOST_OF_TORCH = 100_000_000  # a list of Python integers takes 46 bytes a sample
MOST_OF_MOSAIC = 100_000_000  # its order of an epoch takes 31 bytes a sample


def peers(count: int, before: Mapping[int, Mapping[str, Row]]) -> Iterator[tuple[str, Row]]:
    """Samplers of other libraries over as many samples: a shuffle, weights, and what resuming costs.

    What would take too much memory or time is not run. Its cells are then in proportion to the largest number of samples
    that was measured in this run, of those in `before`. "none" is what a library has no call for.
    """

    def of(make: Callable[[], Any], resume: Callable[[Any], Any] | None = None, *, any_batch: bool = False) -> Row:
        with Peak() as peak:
            held = make()
            first, _ = timed(lambda: next(iter(held)))
        told: Row = {"build": peak.seconds - first, "CPU": peak.cpu, "MB": peak.most, "first": first}
        told |= {"random": "none", "resume": "none"}
        if resume is not None:
            told["resume"], _ = timed(lambda: resume(held))
        if any_batch:
            places = np.random.default_rng(1).integers(0, count // 64, RANDOM).tolist()
            told["random"] = timed(lambda: [held[place] for place in places])[0] / RANDOM
        return told

    def computed(name: str, *keys: str) -> Row:
        told: Row = {"build": "not run"}
        for key in keys:
            found = {fewer: rows[name][key] for fewer, rows in before.items() if key in rows.get(name, {})}
            measured = {fewer: value for fewer, value in found.items() if isinstance(value, float)}
            if measured:
                value = measured[max(measured)] * count / max(measured)
                told[key] = f"{memory(value) if key == 'MB' else seconds(value)}, computed"
        return told

    data = range(count)
    name = "torch RandomSampler"
    if count <= MOST_OF_TORCH:
        yield name, of(lambda: torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 64, True))
    else:
        yield name, computed(name, "MB", "first")
    # From 2^24 weights on it is refused: then one weight stands for all, so that they take no memory.
    weights = torch.rand(count) if count < 1 << 24 else torch.ones(1, dtype=torch.float64).expand(count)

    def weighted() -> Any:
        return torch.utils.data.BatchSampler(torch.utils.data.WeightedRandomSampler(weights, count), 64, True)

    try:
        yield "torch WeightedRandomSampler", of(weighted)
    except RuntimeError as error:
        yield "torch WeightedRandomSampler", {"build": f"refused: {str(error).splitlines()[0]}"}

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

    name = "torchdata StatefulDataLoader"
    if count <= REPLAYED:
        held = stateful()
        with Peak() as peak:
            first, _ = timed(lambda: next(iter(held)))
        told: Row = {"CPU": peak.cpu, "MB": peak.most, "first": first, "random": "none"}
        yield name, told | {"resume": replay(stateful())}
    else:
        yield name, computed(name, "MB", "first", "resume")
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
                any_batch=True,
            ),
        )
    name = "mosaicml-streaming, an epoch"
    if count > MOST_OF_MOSAIC:
        yield name, computed(name, "MB", "resume")
    elif (order := mosaic(count)) is not None:
        yield name, of(lambda: [order(0)], lambda held: order(count // 2)) | {"random": "a slice"}


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
