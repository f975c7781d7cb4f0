"""Arguments for attention functions, so that samples packed into one sequence do not attend to each other.

Sets of keywords, to be passed as `also=` or computed from a `Layout` by `keywords`:

- `FLASH_ATTENTION`: flash-attention's `flash_attn_varlen_func` and `flash_attn_varlen_kvpacked_func`;
- `FLASH_ATTENTION_QKV`: its `flash_attn_varlen_qkvpacked_func`;
- `TORCH_VARLEN`: `torch.nn.attention.varlen.varlen_attn`;
- `MEGATRON`: `megatron.core.packed_seq_params.PackedSeqParams`, and Transformer Engine's `DotProductAttention`;
- `HUGGING_FACE`: the padding-free inputs of Hugging Face models. With the attention implementations "sdpa" and "eager",
  samples are separate only if the model is called with `use_cache=False`; by default, they attend to each other.
  `check` tests a model.

Functions of a `Layout` or of segment numbers for other kinds: jagged tensors, flex attention, dense masks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..public import opened
from ..readings import reading
from .layout import Layout
from .masks import block_mask, mask

if TYPE_CHECKING:
    from .pack_collate import PackCollate

__all__ = ["FLASH_ATTENTION", "FLASH_ATTENTION_QKV", "HUGGING_FACE", "MEGATRON", "TORCH_VARLEN"]
__all__ += ["block_mask", "check", "jagged", "keywords", "mask", "values"]

FLASH_ATTENTION = MappingProxyType(
    {
        "cu_seqlens_q": "cu_seqlens",
        "cu_seqlens_k": "cu_seqlens",
        "max_seqlen_q": "max_length",
        "max_seqlen_k": "max_length",
    }
)
FLASH_ATTENTION_QKV = MappingProxyType({"cu_seqlens": "cu_seqlens", "max_seqlen": "max_length"})
TORCH_VARLEN = MappingProxyType(
    {
        "cu_seq_q": "cu_seqlens",
        "cu_seq_k": "cu_seqlens",
        "max_q": "max_length",
        "max_k": "max_length",
    }
)
MEGATRON = MappingProxyType(
    {
        "qkv_format": "thd",
        "cu_seqlens_q": "real_cu_seqlens",
        "cu_seqlens_kv": "real_cu_seqlens",
        "cu_seqlens_q_padded": "cu_seqlens",
        "cu_seqlens_kv_padded": "cu_seqlens",
        "max_seqlen_q": "max_length",
        "max_seqlen_kv": "max_length",
    }
)
HUGGING_FACE = MappingProxyType(
    {
        "position_ids": "positions",
        "cu_seq_lens_q": "cu_seqlens",
        "cu_seq_lens_k": "cu_seqlens",
        "max_length_q": "max_length",
        "max_length_k": "max_length",
    }
)


def check(model: nn.Module, packs: PackCollate, samples: Iterable[Any]) -> None:
    """Check that a Hugging Face model keeps the samples of a pack separate.

    That depends on the type of the model, its attention implementation, `use_cache` and its keywords. So it is tested:
    the outputs for two short samples in one pack must be those for each sample alone.

    Args:
        model: the model; it is called with the keys of the batch, without labels, and does not change.
        packs: the result of `Collate.packs`.
        samples: samples as the dataset returns them; the first ones that are not empty are cut, and get random tokens.

    Raises:
        Infeasible: the outputs differ; the message has arguments with which they do not.

    Warns:
        PoorWarning: the model could not be tested.

    Example:
        >>> import batchwright as bw
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
        >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=11, use_cache=False, **size))
        >>> packs = bw.Collate(input_ids=bw.ragged()).packs(also=HUGGING_FACE)
        >>> check(model, packs, [{"input_ids": [1, 2, 3]}, {"input_ids": [4, 5]}])
    """
    from . import apart

    apart.check(model, packs, samples)


def keywords(layout: Layout, names: Mapping[str, str] = FLASH_ATTENTION) -> dict[str, Any]:
    """Compute one of the sets above for self-attention: int32 offsets, and the largest length as a Python integer.

    Example:
        >>> keywords(Layout([2, 3]), FLASH_ATTENTION_QKV)
        {'cu_seqlens': tensor([0, 2, 5], dtype=torch.int32), 'max_seqlen': 3}
    """
    known = {"thd": "thd", "real_cu_seqlens": layout.cu_seqlens}  # a layout has no padding
    return {key: known[what] if what in known else getattr(layout, what) for key, what in names.items()}


def jagged(layout: Layout, *projections: Tensor) -> tuple[Tensor, ...]:
    """Packed queries, keys, values (total x heads x width) as jagged tensors, as `scaled_dot_product_attention` takes them.

    Each comes out N x heads x (length) x width, all sharing the layout's offsets; `values` brings the result back.
    (As of torch 2.13 `is_causal=True` with jagged tensors needs a GPU; on the CPU use `mask` or `block_mask`.)

    Example:
        >>> layout = Layout([2, 3])
        >>> query, key, value = jagged(layout, *(torch.ones(5, 2, 8) for _ in range(3)))
        >>> query.shape[0], query.shape[1], values(query).shape
        (2, 2, torch.Size([5, 2, 8]))
    """
    found = []
    for projection in projections:
        with reading(projection, "a projection", "pass packed tensors of total x heads x width"):
            found.append(
                torch.nested.nested_tensor_from_jagged(
                    projection.contiguous(), layout.offsets, min_seqlen=layout.min_length, max_seqlen=layout.max_length
                ).transpose(1, 2)
            )
    return tuple(found)


def values(nested: Tensor) -> Tensor:
    """The packed total x heads x width memory of what attention made of `jagged` inputs."""
    with reading(nested, "nested", "pass what attention made of the tensors of `jagged`"):
        packed: Tensor = nested.transpose(1, 2).contiguous().values()
    return packed


opened(sys.modules[__name__])
