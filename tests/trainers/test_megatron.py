"""Megatron's own `PackedSeqParams` takes what a pack has."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import distribution

import torch

import batchwright as bw


def test_packed_seq_params_are_made_of_a_pack(monkeypatch):
    file = distribution("megatron-core").locate_file("megatron/core/packed_seq_params.py")
    spec = importlib.util.spec_from_file_location("packed_seq_params", file)  # without the rest, which asks for a GPU
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclass looks for its annotations
    spec.loader.exec_module(module)
    rows = [{"ids": torch.arange(length)} for length in (3, 5, 2)]
    collate = bw.Collate(ids=bw.ragged(pad=0)).packs(align=4, multiple=16, fill="dummy", also=bw.attention.MEGATRON)
    batch = collate(rows)
    made = module.PackedSeqParams(**{name: batch[name] for name in bw.attention.MEGATRON})
    assert made.cu_seqlens_q.tolist() == [0, 3, 8, 10]
    assert made.cu_seqlens_kv_padded.tolist() == [0, 4, 12, 16]
