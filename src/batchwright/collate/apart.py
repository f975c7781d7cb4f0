"""Tests whether a Hugging Face model keeps the samples of a pack separate, with two short samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import Infeasible, said, shown, warn
from .identity import Identity
from .packs import Packed, PackRules

if TYPE_CHECKING:
    from .pack_collate import PackCollate

__all__ = ["check"]

_LENGTHS = (5, 7)  # tokens of the two samples: short, and different, so that exchanged samples are noticed
_LOOKED_AT = 32  # samples that are tried to find two that are not empty

_SHIFTING = ("ForCausalLM", "LMHeadModel")  # in the names of models whose labels are the tokens themselves
_IGNORED = -100  # in the losses of Hugging Face's models
_LABELS = ("label", "label_ids", "labels")  # left out: without them models return logits and compute no loss

# Differences up to this, in standard deviations of the outputs, count as rounding; 5e-2 for narrower types.
_SEEN = {torch.float32: 1e-3, torch.float64: 1e-3}

_POSITIONS = {"position_ids": "positions"}  # with a mask alone, positions would go on from sample to sample
_WAYS = {
    "bw.attention.HUGGING_FACE": {
        "position_ids": "positions",
        "cu_seq_lens_q": "cu_seqlens",
        "cu_seq_lens_k": "cu_seqlens",
        "max_length_q": "max_length",
        "max_length_k": "max_length",
    },
    "{'attention_mask': 'causal_mask', 'position_ids': 'positions'}": {"attention_mask": "causal_mask", **_POSITIONS},
    "{'attention_mask': 'full_mask', 'position_ids': 'positions'}": {"attention_mask": "full_mask", **_POSITIONS},
}
"""The values of `also` that are tried, in this order, by their text for the message."""


def check(model: nn.Module, packs: PackCollate, samples: Iterable[Any]) -> None:
    """See `attention.check`."""
    try:
        trial = _Trial.of(model, packs, samples)
        apart = trial.difference(packs.also)
    except Infeasible:  # what collating refuses here, it would refuse in training
        raise
    except Exception as error:
        if packs.rules.shape == "flat":
            raise Infeasible(
                f"{type(model).__name__} does not run on packs of shape='flat', tensors of one dimension ({said(error)})",
                "pass shape='row' or shape='packs' to packs(...)",
            ) from error
        warn(
            f"whether {type(model).__name__} keeps packed samples apart could not be tried "
            f"({said(error)}); compare its outputs for a pack with those for each sample "
            "alone"
        )
        return
    if apart <= trial.rounding:
        _look_at_labels(trial)
        return
    raise Infeasible(
        f"{type(model).__name__} (attention {shown(_attention(model))}) does not keep samples in a pack apart: its "
        f"outputs for two of them are off by {apart:.2g} standard deviations from those for each alone",
        trial.way_out(),
    )


def _look_at_labels(trial: _Trial) -> None:
    """Warn if the last token of a sample would learn the first one of the next: causal models shift labels by one."""
    name, rules = "labels", trial.packs.rules
    shifts = any(kind in type(trial.model).__name__ for kind in _SHIFTING)
    if not shifts or name not in trial.packs.along or name in rules.seams:
        return
    if any(bool((sample[name][:1] != _IGNORED).any()) for sample in trial.samples):
        warn(
            "labels are packed as they are, so that the last token of a sample learns the first token of the next sample; "
            "pass seams=['labels'] to packs(...), or let the labels of each sample begin with -100"
        )


@dataclass(frozen=True)
class _Trial:
    """Two short samples, and the outputs of a model for each of them alone."""

    model: nn.Module
    packs: PackCollate
    samples: list[dict[str, Any]]
    tokens: str
    alone: list[Tensor]

    @classmethod
    def of(cls, model: Any, packs: PackCollate, samples: Iterable[Any]) -> _Trial:
        tokens = next(
            (name for name in (getattr(model, "main_input_name", ""), "input_ids") if name in packs.along), ""
        )
        if not tokens:
            raise LookupError(f"no packed field of {', '.join(packs.along)} holds tokens")
        short = list(_short(packs, tokens, samples, model.get_input_embeddings().num_embeddings))
        if len(short) < len(_LENGTHS):
            raise LookupError(f"{_LOOKED_AT} samples have fewer than {len(_LENGTHS)} that are mappings and not empty")
        plain = packs.described({}, PackRules())
        alone = [_outputs(model, plain([sample]), tokens)[0] for sample in short]
        return cls(model, packs, short, tokens, alone)

    @property
    def rounding(self) -> float:
        return _SEEN.get(self.alone[0].dtype, 5e-2)

    def difference(self, also: Mapping[str, str]) -> float:
        """The largest difference of the outputs in a pack from those for each sample alone, in standard deviations."""
        rules = self.packs.rules
        # Twice what the samples need, so that the effect of padding is tried too.
        capacity = None if rules.fill == "nothing" else rules.aligned(2 * sum(map(rules.aligned, _LENGTHS)))
        batch = self.packs.described(also, replace(rules, capacity=capacity, packs=1, multiple=None))
        together = _outputs(self.model, batch(self.samples), self.tokens)
        # Relative to how much outputs vary; 1 if they are all equal.
        spread = torch.cat(self.alone).double().std().item() or 1.0
        pairs = zip(together, self.alone, strict=True)
        return max((one.double() - other.double()).abs().max().item() for one, other in pairs) / spread

    def way_out(self) -> str:
        """Find by trial the arguments with which samples are kept separate; the model does not change."""
        for implementation in (None, "sdpa"):
            for written, also in {"": self.packs.also, **_WAYS}.items():
                for cached in (True, False):
                    if self._fits(also, implementation, cached):
                        return _said(written, implementation, cached)
        return "train on samples that are padded instead of packed: bw.budgeted(...) and bw.Collate"

    def _fits(self, also: Mapping[str, str], implementation: str | None, cached: bool) -> bool:
        with _changed(self.model, implementation, cached):
            try:
                return self.difference(also) <= self.rounding
            except Exception:  # the model does not accept these keywords
                return False


def _said(also: str, implementation: str | None, cached: bool) -> str:
    ways = [f"pass also={also} to packs(...)"] if also else []
    ways += [f"set model.set_attn_implementation({shown(implementation)})"] if implementation else []
    ways += [] if cached else ["set use_cache=False in the model's config"]
    return " and ".join(ways)


@contextmanager
def _changed(model: Any, implementation: str | None, cached: bool) -> Iterator[None]:
    """A context in which the model has another attention implementation, or no cache."""
    configs = [module.config for module in model.modules() if hasattr(module, "config")]
    kept = [(config, getattr(config, "use_cache", None), _implementation(config)) for config in configs]
    try:
        for config in configs:
            if not cached and getattr(config, "use_cache", False):
                config.use_cache = False
        if implementation:
            with suppress(AttributeError, ValueError):  # a model without this implementation fails the test as before
                model.set_attn_implementation(implementation)
        yield
    finally:
        for config, use_cache, own in kept:
            if use_cache is not None:
                config.use_cache = use_cache
            if own is not None:
                config._attn_implementation = own


def _implementation(config: Any) -> Any:
    return getattr(config, "_attn_implementation", None)


def _attention(model: Any) -> Any:
    return _implementation(getattr(model, "config", None)) or "of its own"


def _short(packs: PackCollate, tokens: str, samples: Iterable[Any], vocabulary: int) -> Iterator[dict[str, Any]]:
    """Two samples with packed fields cut or repeated to a few elements, and random tokens."""
    generator = torch.Generator().manual_seed(0)  # its own: the global one must stay as it is
    lengths = iter(_LENGTHS)
    for sample in islice(samples, _LOOKED_AT):
        parts = sample.sample if isinstance(sample, Identity) else sample
        if not isinstance(parts, Mapping) or not all(len(parts[name]) for name in packs.along):
            continue
        length = next(lengths, None)
        if length is None:
            return
        cut = {name: _of_length(parts[name], length) for name in packs.along}
        cut[tokens] = torch.randint(vocabulary, (length,), generator=generator)
        yield {**parts, **cut}


def _of_length(values: Any, length: int) -> Tensor:
    tensor = torch.as_tensor(values)
    return tensor.repeat(-(-length // len(tensor)), *[1] * (tensor.ndim - 1))[:length]


def _outputs(model: nn.Module, batch: Any, tokens: str) -> list[Tensor]:
    """The outputs of the model for the tokens of each sample."""
    from ..correct.modes import modes_kept

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    inputs = {name: value for name, value in batch.to(device).items() if name not in _LABELS}
    with modes_kept(model), torch.no_grad():
        model.eval()
        made = model(**inputs)
    if not isinstance(made, Tensor):
        made = getattr(made, "logits", None) if hasattr(made, "logits") else made[0]
    packed = batch.fields[tokens]
    if not isinstance(packed, Packed) or made.shape[:-1].numel() != len(packed.tensor):
        raise LookupError(f"its output has shape {tuple(made.shape)}, not one row a token")
    rows = made.reshape(-1, made.shape[-1])
    starts, homes = packed.plot.segments.starts, packed.plot.homes
    return [
        rows[starts[home] : starts[home] + count] for home, count in zip(homes, packed.plot.own.counts, strict=True)
    ]
