"""Collects the moments of all values that reach each BatchNorm layer of a model over many batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ...distributed import Over, gathered, ranks
from ...errors import Infeasible, check_integer, shown, typed, warn
from ...run.sampler_of import sampler_of, unmoved
from ..modes import modes_kept
from .layers import BatchNorm, tracking_layers
from .moments import Moments
from .per_group import GroupBatchNorm
from .synchronised import GlobalBatchNorm

__all__ = ["Forward", "Population", "first_field", "observe", "raised_on_all"]

Forward = Callable[[nn.Module, Any], Any]

_WHAT_TO_RESUME = "pass what an earlier call of recalibrate returned"
_LONGEST = 300  # characters of another rank's error in a message


def first_field(model: nn.Module, batch: Any) -> Any:
    """Run `model` on the batch, or on its first field if it is a tuple or list, moved to the model's device.

    Raises:
        Infeasible: it is no tensor.
    """
    inputs = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
    if not isinstance(inputs, Tensor):
        names = list(batch.keys()) if callable(getattr(batch, "keys", None)) else []
        by_name = all(isinstance(name, str) and name.isidentifier() for name in names)
        arguments = "**batch" if by_name else f"batch[{shown(names[0])}]"
        raise Infeasible(
            f"what would go into the model is {typed(inputs)}, no tensor",
            f"say how to run it: forward=lambda model, batch: model({arguments})",
        )
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return model(inputs.to(device))


class Population:
    """Moments per layer, in float64 on the CPU, and the number of batches.

    In float32, sums over many batches would lose digits.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.batches = 0
        self.moments: dict[str, Moments] = {}
        if state is not None and not isinstance(state, Mapping):
            raise Infeasible(f"resume is {typed(state)}", _WHAT_TO_RESUME)
        if state:
            missing = {"batches", "layers"} - set(state)
            if missing:
                raise Infeasible(f"the state has no {min(missing)!r}", _WHAT_TO_RESUME)
            self.batches = check_integer(state["batches"], "the state's 'batches'", least=0)
            if not isinstance(state["layers"], Mapping):
                raise Infeasible(f"the state's 'layers' is {typed(state['layers'])}", _WHAT_TO_RESUME)
            self.moments = {name: _moments_of(parts, name) for name, parts in state["layers"].items()}

    def add(self, name: str, moments: Moments) -> None:
        """Merge the moments of one batch into those of the layer `name`."""
        double = Moments(*(tensor.cpu().double() for tensor in moments.tensors))
        before = self.moments.get(name)
        self.moments[name] = double if before is None else before.merged(double)

    def check(self, layers: dict[str, BatchNorm]) -> None:
        """Refuse layers that differ from those of the population."""
        for name, moments in self.moments.items():
            width, given = moments.mean.shape[-1], layers[name].num_features if name in layers else None
            if width != given:
                has = "none of that name" if given is None else f"one of {given}"
                raise Infeasible(
                    f"the state is of a model with a BatchNorm layer {name!r} of {width} channels, this one has {has}",
                    "resume with the state of this model",
                )

    def state(self) -> dict[str, Any]:
        """The state for a later call: `batches`, and for each layer the tensors [count, mean, squares]."""
        layers = {name: [tensor.clone() for tensor in moments.tensors] for name, moments in self.moments.items()}
        return {"batches": self.batches, "layers": layers}

    def over_ranks(self, processes: Over) -> Population:
        """The population of all ranks, merged in the order of ranks, so that rounding is the same on every rank."""
        pooled = Population()
        for state in gathered(self.state(), processes):
            part = Population(state)
            pooled.batches += part.batches
            for name, moments in part.moments.items():
                pooled.add(name, moments)
        return pooled


def _moments_of(parts: Any, name: str) -> Moments:
    """The moments of a layer from a state: count (G, 1), mean and squares (G, C)."""
    if isinstance(parts, (list, tuple)) and len(parts) == 3 and all(isinstance(part, Tensor) for part in parts):
        count, mean, squares = parts
        if mean.dim() == 2 and mean.shape == squares.shape and count.shape == (len(mean), 1):
            return Moments(count, mean, squares)
    raise Infeasible(
        f"the state of BatchNorm layer {shown(name)} is not the three tensors count (G, 1), mean (G, C) and squares (G, C)",
        _WHAT_TO_RESUME,
    )


@contextmanager
def raised_on_all(processes: Over) -> Iterator[None]:
    """Raise an error of one rank on every rank; without this, the others would wait for it in the next communication."""
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    said = gathered(error and f"{type(error).__name__}: {error}"[:_LONGEST], processes)
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
    """Run batches of `loader` through `model`, and add the values that reach BatchNorm layers to `population`.

    BatchNorm layers normalise by the batch, as in training; all other layers (dropout) are in evaluation mode, as they
    will be when the statistics are used. The model does not change, also if an error is raised, and the loader is where it
    was: batches that the population has are left out.

    Args:
        model: a model with BatchNorm layers.
        loader: the batches.
        batches: the number of batches to use, of a training plan over as many epochs as they take; those of one loop if
            None.
        forward: runs the model on a batch.
        population: the moments so far; they are updated.

    Raises:
        Infeasible: no layer keeps running statistics, `loader` has no batch, a layer gets one value per channel or values
            that are no finite floating-point numbers, or `population` is of another model.
    """
    if batches is not None:
        batches = check_integer(batches, "batches", least=1)
    layers = tracking_layers(model)
    population.check(layers)
    before = population.batches

    with (
        _buffers_kept(layers),
        modes_kept(model),
        _hooks(layers, population),
        torch.no_grad(),
        unmoved(loader, after=before) as given,
    ):
        model.eval()
        for layer in layers.values():
            layer.train()
        sampler = sampler_of(loader)
        lasts = batches is not None and sampler is not None and not sampler.plan.whole_epochs
        # Closed before the run is put back: an iterator that ended later could move it once more.
        with closing(_epoch_after_epoch(given) if lasts else (batch for batch in given)) as stream:
            for batch in islice(stream, batches):
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


def _epoch_after_epoch(loader: Iterable[Any]) -> Generator[Any, None, None]:
    """Loops over a loader again and again, until one gives nothing."""
    given = True
    while given:
        given = False
        for batch in loader:
            given = True
            yield batch


def _alone(layer: BatchNorm) -> bool:
    """Whether a layer normalises by nothing but this process's batch; those per group check each group themselves."""
    if isinstance(layer, (nn.SyncBatchNorm, GlobalBatchNorm)):
        return ranks(layer.process_group)[1] == 1
    return type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def _hooks(layers: dict[str, BatchNorm], population: Population) -> Iterator[None]:
    names = {layer: name for name, layer in layers.items()}

    def look(layer: BatchNorm, inputs: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
        values = (inputs[0] if inputs else keywords["input"]).detach()
        if not values.is_floating_point():
            raise Infeasible(
                f"BatchNorm layer {names[layer]!r} got values of {values.dtype}, it needs floating-point numbers",
                "give the model floats: forward=lambda model, batch: model(batch.float())",
            )
        if values.numel() == layer.num_features and _alone(layer):
            raise Infeasible(
                f"BatchNorm layer {names[layer]!r} got 1 value per channel in a batch, it needs 2",
                "pass batches of at least 2 samples, for instance with drop_last=True",
            )
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
