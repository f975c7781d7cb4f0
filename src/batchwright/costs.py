"""Costs of a sample by its length, to pass as `cost=`: the work of a transformer, or simple formulas."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import Infeasible, check_bool, check_integer, check_number, shown, typed
from .inputs.columns import as_numbers
from .kernels.array_types import Floats
from .public import opened
from .readings import as_list

__all__ = ["Cost", "linear", "quadratic", "transformer"]


_NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "depth"),
    "hidden": ("embed_dim", "hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim"),
    "vocabulary": ("vocab_size",),
}
# Models whose MLP has no gate: a config does not say so.
_TWO_MATRICES = {
    "bert", "bloom", "clip_text_model", "clip_vision_model", "deit", "falcon", "gpt2", "gpt_neox", "opt", "phi", "roberta",
    "siglip_text_model", "siglip_vision_model", "siglip2_vision_model", "vit",
}  # fmt: skip
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

    def __post_init__(self) -> None:
        """Check the factors, once for all calls."""
        pairs = []
        for pair in as_list(self.per_pair, "per_pair"):
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise Infeasible(
                    f"per_pair has {shown(pair)}", "pass pairs of a window, or None, and the cost of a pair"
                )
            window, each = pair
            if window is not None:
                window = check_integer(window, "the window of per_pair", least=1)
            _not_negative(each, "the cost of per_pair")
            pairs.append((window, check_number(each, "the cost of per_pair")))
        _not_negative(self.per_token, "per_token")
        object.__setattr__(self, "per_pair", tuple(pairs))
        object.__setattr__(self, "per_token", check_number(self.per_token, "per_token"))
        check_bool(self.causal, "causal")

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
    gated: bool | None = None,
    vocabulary: int | None = None,
    window: int | None = None,
    causal: bool = True,
) -> Cost:
    """The work of training a transformer on a sample, in FLOPs, by its length.

    It counts two FLOPs for a multiplication with an addition, and the backward pass as two forward passes (Kaplan et
    al. 2020, Narayanan et al. 2021): of matrices the projections of attention, the MLP (Shazeer 2020, if gated), and
    the vocabulary; of attention the scores and the values, only for pairs that are not masked, as flash attention
    computes them (Dao 2023). Norms, activations and recomputation are not counted. A sample's cost does not depend on
    the pack that it is in, as attention does not cross the samples of a pack.

    Args:
        config: a Hugging Face config, or a dictionary of its entries; of a vision-language model the part for text is
            taken, and `config.vision_config` is that of its tower. Sliding windows by layer, experts (the router, those
            that a token goes through, and shared ones), layers without experts, and latent attention (DeepSeek-AI 2024)
            count as the config has them. The arguments below replace its entries.
        layers: how many.
        hidden: size of the embedding of a token.
        heads: attention heads of a layer.
        kv_heads: heads of keys and values; `heads` if left out.
        head_size: `hidden / heads` if left out.
        intermediate: size within the MLP; for experts the sum of those that a token goes through.
        gated: whether the MLP has three matrices (as with SwiGLU) or two; if left out as the config's model has it, and
            three without a config.
        vocabulary: size of the output, 0 for none, as for a vision tower.
        window: the most tokens that a token attends to in every layer; no limit if left out.
        causal: whether a token attends to those before it only.

    Raises:
        Infeasible: a size is missing or out of range, or a config has layers of a kind that is not known.

    Example:
        >>> cost = transformer(layers=2, hidden=8, heads=2, intermediate=16, vocabulary=100)
        >>> cost([1, 10]).tolist()
        [12672.0, 135360.0]
    """
    found = {} if config is None else _entries(config)
    sizes = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "intermediate": intermediate,
        "vocabulary": vocabulary,
    }
    sizes = {name: _first(found, *_NAMES[name]) if size is None else size for name, size in sizes.items()}
    if sizes["intermediate"] is None and found and sizes["hidden"]:  # configs without it mean four times the embedding
        sizes["intermediate"] = int((found.get("mlp_ratio") or 4) * sizes["hidden"])
    missing = [name for name, size in sizes.items() if size is None]
    if missing:
        raise Infeasible(f"the sizes of the model lack {', '.join(missing)}", f"pass {missing[0]}=..., a whole number")
    layers, hidden, heads = (check_integer(sizes[name], name, least=1) for name in ("layers", "hidden", "heads"))
    dense, vocabulary = (check_integer(sizes[name], name, least=0) for name in ("intermediate", "vocabulary"))
    if kv_heads is None:
        kv_heads = found.get("num_key_value_heads") or heads
    if head_size is None:
        head_size = found.get("head_dim") or max(1, hidden // heads)
    kv_heads, head_size = (check_integer(kv_heads, "kv_heads", least=1), check_integer(head_size, "head_size", least=1))
    if gated is None:
        gated = found.get("model_type") not in _TWO_MATRICES and "mlp_ratio" not in found
    matrices = 3 if check_bool(gated, "gated") else 2
    with_experts = 0 if intermediate is not None else _layers_with_experts(found, layers)
    projections, in_a_pair = _attention(found, hidden, heads, kv_heads, head_size)
    in_all = layers * projections + matrices * hidden * (layers - with_experts) * dense
    in_all += with_experts * hidden * (matrices * _of_experts(found, dense) + _experts(found))
    per_token = _TRAINED * 2 * (in_all + hidden * vocabulary)
    per_pair = _TRAINED * 2 * in_a_pair
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
    if text is not None:
        return _entries(text)
    kind = getattr(config, "model_type", None)
    return entries if kind is None else {**entries, "model_type": kind}


def _first(entries: Mapping[str, Any], *names: str) -> Any:
    """The entry of the first of these names that there is."""
    return next((entries[name] for name in names if entries.get(name) is not None), None)


def _experts(entries: Mapping[str, Any]) -> int:
    """How many experts a layer of them has, which the router chooses from; 0 for none."""
    return int(_first(entries, "num_local_experts", "num_experts", "n_routed_experts") or 0)


def _of_experts(entries: Mapping[str, Any], size: int) -> int:
    """The size within the experts that a token goes through, and in those that all tokens go through."""
    own = entries.get("moe_intermediate_size") or size
    shared = entries.get("shared_expert_intermediate_size") or own * (entries.get("n_shared_experts") or 0)
    return int((entries.get("num_experts_per_tok") or 0) * own + shared)


def _layers_with_experts(entries: Mapping[str, Any], layers: int) -> int:
    """In how many layers the MLP is made of experts."""
    if not _experts(entries) or not entries.get("num_experts_per_tok"):
        return 0
    kinds = entries.get("mlp_layer_types")
    if kinds is not None:
        return sum(kind == "sparse" for kind in kinds[:layers])
    first, every = entries.get("first_k_dense_replace") or 0, entries.get("decoder_sparse_step") or 1
    dense = entries.get("mlp_only_layers") or ()
    return sum(layer >= first and layer not in dense and (layer + 1) % every == 0 for layer in range(layers))


def _attention(entries: Mapping[str, Any], hidden: int, heads: int, kv_heads: int, head_size: int) -> tuple[int, int]:
    """Multiplications of a token with the projections of a layer, and of a pair in its scores and its values."""
    latent = entries.get("kv_lora_rank")
    if latent is None:
        return hidden * head_size * (2 * heads + 2 * kv_heads), 2 * heads * head_size
    without, rotated, value = entries["qk_nope_head_dim"], entries["qk_rope_head_dim"], entries["v_head_dim"]
    queries, rank = heads * (without + rotated), entries.get("q_lora_rank")
    asked = hidden * queries if rank is None else rank * (hidden + queries)
    held = hidden * (latent + rotated) + latent * heads * (without + value)
    return asked + held + heads * value * hidden, heads * (without + rotated + value)


def _windows(entries: Mapping[str, Any], layers: int) -> list[int | None]:
    """The window of attention in each layer."""
    window = entries.get("sliding_window") if entries.get("use_sliding_window", True) else None
    kinds = entries.get("layer_types")
    if kinds is None:
        return [window] * layers
    known = {"sliding_attention": window, "full_attention": None}
    unknown = sorted(set(kinds[:layers]) - set(known))
    if unknown:
        raise Infeasible(
            f"the config has layers of {unknown[0]!r}, known are {', '.join(map(repr, known))}",
            "pass window=..., or a function of your own as cost=",
        )
    return [known[kind] for kind in [*kinds, *["full_attention"] * layers][:layers]]


def _not_negative(value: float, called: str) -> float:
    """Check a factor, 0 or more."""
    factor = float(check_number(value, called))
    if factor < 0:
        raise Infeasible(f"{called} is {factor:g}", "pass a number of 0 or more")
    return factor


opened(sys.modules[__name__])
