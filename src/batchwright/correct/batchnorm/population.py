"""The population of values that every BatchNorm layer of a model meets over a stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...distributed import gathered
from ...errors import Infeasible, typed, warn
from ..modes import modes_kept
from .layers import BatchNorm, tracking_layers
from .moments import Moments
from .per_group import GroupBatchNorm

__all__ = ["Forward", "Population", "first_field", "observe", "raised_on_all"]

Forward = Callable[[nn.Module, Any], Any]

_LONGEST = 300
"""Characters of another rank's error that are repeated."""


def first_field(model: nn.Module, batch: Any) -> Any:
    """Run `model` on the batch, or on its first field if a tuple or list, moved to the model's device.

    Raises:
        Infeasible: that is no tensor.
    """
    inputs = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
    if not isinstance(inputs, Tensor):
        raise Infeasible(
            f"what would go into the model is {typed(inputs)}, no tensor",
            "say how to run it: forward=lambda model, batch: model(**batch)",
        )
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return model(inputs.to(device))


class Population:
    """Moments per layer, in float64 on the CPU, and the number of batches they are of."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.batches = 0
        self.moments: dict[str, Moments] = {}
        if state:
            missing = {"batches", "layers"} - set(state)
            if missing:
                raise Infeasible(
                    f"the state has no {min(missing)!r}", "pass what an earlier call of recalibrate returned"
                )
            self.batches = state["batches"]
            self.moments = {name: Moments(*tensors) for name, tensors in state["layers"].items()}

    def add(self, name: str, moments: Moments) -> None:
        """Put the moments of one batch at the layer `name` to those before it."""
        double = Moments(*(tensor.cpu().double() for tensor in moments.tensors))
        before = self.moments.get(name)
        self.moments[name] = double if before is None else before.merged(double)

    def check(self, layers: dict[str, BatchNorm]) -> None:
        """Refuse layers that are not those of the population."""
        for name, moments in self.moments.items():
            width, given = moments.mean.shape[-1], layers[name].num_features if name in layers else None
            if width != given:
                has = "none of that name" if given is None else f"one of {given}"
                raise Infeasible(
                    f"the state is of a model with a BatchNorm layer {name!r} of {width} channels, this one has {has}",
                    "resume with the state of this model",
                )

    def state(self) -> dict[str, Any]:
        """`batches` and, by layer, [count, mean, squares]: plain tensors that `Population` takes back."""
        layers = {name: [tensor.clone() for tensor in moments.tensors] for name, moments in self.moments.items()}
        return {"batches": self.batches, "layers": layers}

    def over_ranks(self, process_group: dist.ProcessGroup | None) -> Population:
        """The population of all ranks' streams, merged in rank order and so the same on every rank; None means all."""
        pooled = Population()
        for state in gathered(self.state(), process_group):
            part = Population(state)
            pooled.batches += part.batches
            for name, moments in part.moments.items():
                pooled.add(name, moments)
        return pooled


@contextmanager
def raised_on_all(process_group: dist.ProcessGroup | None) -> Iterator[None]:
    """Let what one rank raises within the context be raised by every rank, so that none waits for it without end."""
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    said = gathered(error and f"{type(error).__name__}: {error}"[:_LONGEST], process_group)
    if error is not None:
        raise error
    failed = [(rank, words) for rank, words in enumerate(said) if words is not None]
    if failed:
        raise Infeasible(
            f"rank {failed[0][0]} of {len(said)} raised {failed[0][1]}",
            "see to what that rank was given; no rank's statistics have changed",
        )


def observe(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    batches: int | None,
    forward: Forward,
    population: Population,
) -> Population:
    """Run `batches` batches (None: all) of `loader` through `model`, adding to `population` what layers meet.

    BatchNorm layers normalise by the batch meanwhile, as in training; all else (dropout) is in evaluation
    mode, as it will be when the statistics are used. Nothing of the model is changed, also when an error is
    raised.

    Raises:
        Infeasible: no layer keeps running statistics, `loader` has no batch, a layer met a value that is not finite, or
            `population` is of another model.
    """
    layers = tracking_layers(model)
    population.check(layers)
    before = population.batches

    with _buffers_kept(layers), modes_kept(model), _hooks(layers, population), torch.no_grad():
        model.eval()
        for layer in layers.values():
            layer.train()
        for batch in islice(loader, batches):
            try:
                forward(model, batch)
            except Exception as error:
                error.add_note(f"batch {population.batches - before} of the loader was run through the model")
                raise
            population.batches += 1

    seen = population.batches - before
    if seen == 0:
        raise Infeasible("the loader gave 0 batches, at least 1 is needed", "pass a loader that is not exhausted")
    for name, moments in population.moments.items():
        if not all(tensor.isfinite().all() for tensor in moments.tensors):
            raise Infeasible(
                f"BatchNorm layer {name!r} met values that are not finite", "look at the inputs and the model before it"
            )
    if batches is not None and seen < batches:
        _warn(f"the loader gave {seen} batches, {batches} were asked for: the estimate is of the fewer")
    return population


@contextmanager
def _hooks(layers: dict[str, BatchNorm], population: Population) -> Iterator[None]:
    names = {layer: name for name, layer in layers.items()}

    def look(layer: BatchNorm, inputs: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
        values = (inputs[0] if inputs else keywords["input"]).detach()
        values = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        if isinstance(layer, GroupBatchNorm):
            population.add(names[layer], layer.group_moments(values))
        else:
            population.add(names[layer], Moments.of(values))

    handles = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _buffers_kept(layers: dict[str, BatchNorm]) -> Iterator[None]:
    kept = [(buffer, buffer.clone()) for layer in layers.values() for buffer in layer.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def _warn(message: str) -> None:
    warn(message)
