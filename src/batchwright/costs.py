"""Costs of a sample by its length, to pass as `cost=`: the work of a transformer, or simple formulas."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .columns import as_numbers
from .errors import Infeasible, check_bool, check_integer, check_number, typed
from .public import opened

__all__ = ["Cost", "linear", "quadratic", "transformer"]

Floats = NDArray[np.float64]

_TRAINED = 3  # the backward pass takes twice the work of the forward pass


@dataclass(frozen=True)
class Cost:
    """A cost by length; call it with lengths, array-like of shape (n,), to get float64 of the same shape.

    Attributes:
        per_token: cost of a token.
        per_pair: cost of a pair of tokens of which one attends to the other, by the window of attention: the most
            tokens that a token attends to, itself among them; None for all of the sample.
        causal: whether a token attends to those before it only, and to itself.
    """

    per_token: float
    per_pair: tuple[tuple[int | None, float], ...] = ()
    causal: bool = True

    def __call__(self, lengths: ArrayLike) -> Floats:
        """The cost of samples of these lengths."""
        n = np.asarray(as_numbers(lengths, called="lengths"), np.float64)
        total: Floats = self.per_token * n
        for window, each in self.per_pair:
            total = total + each * _pairs(n, window, causal=self.causal)
        return total


def linear(per_token: float = 1.0) -> Cost:
    """A cost in proportion to the length.

    Example:
        >>> linear(2)([10, 20]).tolist()
        [20.0, 40.0]
    """
    return Cost(_not_negative(per_token, "per_token"))


def quadratic(per_token: float, per_square: float = 1.0) -> Cost:
    """A cost of `per_token * n + per_square * n**2` for a sample of n tokens.

    Example:
        >>> quadratic(100)([10, 20]).tolist()
        [1100.0, 2400.0]
    """
    square = _not_negative(per_square, "per_square")
    return Cost(_not_negative(per_token, "per_token"), ((None, square),), causal=False)


def transformer(
    config: Any = None,
    *,
    layers: int | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    head_size: int | None = None,
    intermediate: int | None = None,
    vocabulary: int | None = None,
    window: int | None = None,
    causal: bool = True,
) -> Cost:
    """The work of training a transformer on a sample, in FLOPs, by its length.

    It counts two FLOPs for a multiplication with an addition, and the backward pass as two forward passes (Kaplan et
    al. 2020, Narayanan et al. 2021): of matrices the projections of attention, a gated MLP (three matrices), and
    the vocabulary; of attention the scores and the values, only for pairs that are not masked. Norms, activations
    and recomputation are not counted. A sample's cost does not depend on the pack that it is in, as attention does not
    cross the samples of a pack.

    Args:
        config: a Hugging Face config, or a dictionary of its entries; of a vision-language model the part for text is
            taken. Sliding windows by layer, and experts (those that a token goes through, and shared ones), count as the
            config has them. The arguments below replace its entries.
        layers: how many.
        hidden: size of the embedding of a token.
        heads: attention heads of a layer.
        kv_heads: heads of keys and values; `heads` if left out.
        head_size: `hidden / heads` if left out.
        intermediate: size within the MLP; for experts the sum of those that a token goes through.
        vocabulary: size of the output, 0 for none, as for a vision tower.
        window: the most tokens that a token attends to in every layer; no limit if left out.
        causal: whether a token attends to those before it only.

    Raises:
        Infeasible: a size is missing or out of range.

    Example:
        >>> cost = transformer(layers=2, hidden=8, heads=2, intermediate=16, vocabulary=100)
        >>> cost([1, 10]).tolist()
        [12672.0, 135360.0]
    """
    found = {} if config is None else _entries(config)
    sizes = {
        "layers": found.get("num_hidden_layers") if layers is None else layers,
        "hidden": found.get("hidden_size") if hidden is None else hidden,
        "heads": found.get("num_attention_heads") if heads is None else heads,
        "intermediate": _intermediate(found) if intermediate is None else intermediate,
        "vocabulary": found.get("vocab_size") if vocabulary is None else vocabulary,
    }
    missing = [name for name, size in sizes.items() if size is None]
    if missing:
        raise Infeasible(f"the sizes of the model lack {', '.join(missing)}", f"pass {missing[0]}=..., a whole number")
    layers, hidden, heads = (check_integer(sizes[name], name, least=1) for name in ("layers", "hidden", "heads"))
    intermediate, vocabulary = (check_integer(sizes[name], name, least=0) for name in ("intermediate", "vocabulary"))
    kv_heads = check_integer(kv_heads or found.get("num_key_value_heads") or heads, "kv_heads", least=1)
    head_size = check_integer(head_size or found.get("head_dim") or max(1, hidden // heads), "head_size", least=1)
    attention = hidden * head_size * (2 * heads + 2 * kv_heads)
    experts = found.get("num_local_experts") or found.get("num_experts") or found.get("n_routed_experts") or 0
    in_a_layer = attention + 3 * hidden * intermediate + hidden * experts
    per_token = _TRAINED * 2 * (layers * in_a_layer + hidden * vocabulary)
    per_pair = _TRAINED * 4 * heads * head_size
    if window is not None:
        windows: list[int | None] = [check_integer(window, "window", least=1)] * layers
    else:
        windows = _windows(found, layers)
    kinds = sorted(set(windows), key=lambda kind: kind or 0)
    by_window = tuple((kind, float(per_pair * windows.count(kind))) for kind in kinds)
    return Cost(float(per_token), by_window, check_bool(causal, "causal"))


def _pairs(n: Floats, window: int | None, *, causal: bool) -> Floats:
    """How many pairs of tokens attend, in samples of n tokens."""
    within = n if window is None else np.minimum(n, window)
    if causal:  # the first tokens attend to 1, 2, ... tokens, those behind the window to all of it
        return within * (within + 1) / 2 + (n - within) * within
    return n * within


def _entries(config: Any) -> Mapping[str, Any]:
    """The entries of a config, of its text part if it has one."""
    entries = config if isinstance(config, Mapping) else getattr(config, "__dict__", None)
    if entries is None:
        raise Infeasible(f"config is {typed(config)}", "pass a Hugging Face config, a dictionary, or sizes by name")
    text = entries.get("text_config")
    return entries if text is None else _entries(text)


def _intermediate(entries: Mapping[str, Any]) -> int | None:
    """The size within the MLP that a token goes through."""
    size: int | None = entries.get("intermediate_size")
    used = entries.get("num_experts_per_tok")
    if size is None or used is None:
        return size
    own = entries.get("moe_intermediate_size") or size
    shared = entries.get("shared_expert_intermediate_size") or own * (entries.get("n_shared_experts") or 0)
    return int(used * own + shared)


def _windows(entries: Mapping[str, Any], layers: int) -> list[int | None]:
    """The window of attention in each layer."""
    window = entries.get("sliding_window") if entries.get("use_sliding_window", True) else None
    kinds = entries.get("layer_types")
    if kinds is None or window is None:
        return [window] * layers
    return [window if kind == "sliding_attention" else None for kind in [*kinds, *["full"] * layers][:layers]]


def _not_negative(value: float, called: str) -> float:
    """Check a factor, 0 or more."""
    factor = float(check_number(value, called))
    if factor < 0:
        raise Infeasible(f"{called} is {factor:g}", "pass a number of 0 or more")
    return factor


opened(sys.modules[__name__])
