"""What only a GPU can show, on one if it is there: `python -m tests.device`.

Each check compares what the device gives with what plain code gives on the CPU. Without a CUDA device, those that mean
something on the CPU run there, and the others say that they were not run, and why. A check that fails ends with its error.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

import batchwright as bw

SAMPLES = [{"ids": torch.arange(1, 2 + 7 * number % 23), "label": number % 3} for number in range(64)]
COLLATE = bw.Collate(ids=bw.ragged(pad=0, multiple=8), label=bw.scalar())


def plan() -> bw.Plan:
    return bw.budgeted([len(sample["ids"]) for sample in SAMPLES], 96, window="epoch")


def same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(found.cpu(), expected.cpu(), rtol=tolerance, atol=tolerance)


def pinned_batches(device: torch.device) -> None:
    """A loader with workers pins its batches and moves them; none differs from the batch of the CPU."""
    expected = [COLLATE([SAMPLES[sample] for sample in samples]) for samples in plan().epoch(0)]
    loader = plan().loader(
        SAMPLES, num_workers=2, collate=COLLATE, device=device, pin_memory=True, rank=0, world_size=1
    )
    for found, wanted in zip(loader, expected, strict=True):
        assert found["ids"].device.type == device.type
        same(found["ids"], wanted["ids"])
        same(found["label"], wanted["label"])
    assert expected[0].pin_memory()["ids"].is_pinned()


def copies_that_do_not_wait(device: torch.device) -> None:
    """A batch that is copied without waiting is whole when it is used, also if the batch it came from is gone."""
    for samples in plan().epoch(0):
        batch = COLLATE([SAMPLES[sample] for sample in samples])
        wanted = batch["ids"].clone()
        batch = (batch.pin_memory() if device.type == "cuda" else batch).to(device, non_blocking=True)
        same(batch["ids"] + 0, wanted)


def projections(device: torch.device, dtype: torch.dtype) -> tuple[bw.Layout, list[torch.Tensor], torch.Tensor]:
    """Packed queries, keys and values, and what attention of each sample alone makes of them."""
    torch.manual_seed(0)
    layout = bw.Layout([3, 17, 1, 8], device=device)
    packed = [torch.randn(29, 2, 32, device=device, dtype=dtype) for _ in range(3)]
    alone = []
    for begin, end in zip(layout.starts, layout.starts[1:], strict=False):
        query, key, value = (each[begin:end].transpose(0, 1) for each in packed)
        alone.append(scaled_dot_product_attention(query, key, value, is_causal=True).transpose(0, 1))
    return layout, packed, torch.cat(alone)


def attention_by_a_mask(device: torch.device) -> None:
    """Packed attention under the mask is the attention of each sample alone."""
    layout, packed, alone = projections(device, torch.float32)
    query, key, value = (each.transpose(0, 1) for each in packed)
    found = scaled_dot_product_attention(query, key, value, attn_mask=bw.attention.mask(layout.segments))
    same(found.transpose(0, 1), alone, 1e-4)


def attention_by_flex(device: torch.device) -> None:
    """The same by flex attention and its block mask, compiled on a GPU."""
    from torch.nn.attention.flex_attention import flex_attention

    layout, packed, alone = projections(device, torch.float32)
    query, key, value = (each.transpose(0, 1)[None] for each in packed)
    run = torch.compile(flex_attention) if device.type == "cuda" else flex_attention
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # uncompiled, as on the CPU, it says that it is slow
        found = run(query, key, value, block_mask=bw.attention.block_mask(layout.segments))
    same(found[0].transpose(0, 1), alone, 2e-3)


def attention_of_lengths(device: torch.device) -> None:
    """The same by the flash kernel of torch for packed sequences, from the keywords of the layout."""
    from torch.nn.attention.varlen import varlen_attn

    layout, (query, key, value), alone = projections(device, torch.bfloat16)
    offsets = bw.attention.keywords(layout, {"offsets": "cu_seqlens", "longest": "max_length"})
    found = varlen_attn(
        *(query, key, value, offsets["offsets"], offsets["offsets"], offsets["longest"], offsets["longest"]),
        window_size=(-1, 0),  # causal
    )
    same(found, alone, 3e-2)


def attention_of_jagged_tensors(device: torch.device) -> None:
    """The same by jagged tensors."""
    layout, packed, alone = projections(device, torch.float32)
    query, key, value = bw.attention.jagged(layout, *packed)
    found = bw.attention.values(scaled_dot_product_attention(query, key, value, is_causal=True))
    same(found, alone, 1e-4)


def synchronised_statistics(device: torch.device) -> None:
    """A synchronised BatchNorm in a group of one process is the plain one."""
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).to(device)
        model = bw.correct.synchronised(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).to(device))
        model.load_state_dict(plain.state_dict())
        values = torch.randn(16, 4, device=device)
        same(model(values), plain(values), 1e-5)
        same(model[1].running_var, plain[1].running_var, 1e-5)
    finally:
        dist.destroy_process_group()


def a_compiled_step(device: torch.device) -> None:
    """A training step that is compiled learns from batches as the plain one does."""
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        torch.compiler.reset()
        model = nn.Sequential(nn.Embedding(32, 8), nn.Linear(8, 3)).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(ids: torch.Tensor, label: torch.Tensor, model: nn.Module = model) -> torch.Tensor:
            return nn.functional.cross_entropy(model(ids).mean(1), label)

        backend = "inductor" if device.type == "cuda" else "aot_eager"
        run = torch.compile(step, dynamic=True, backend=backend) if compiled else step
        losses.append([])
        for samples in plan().epoch(0):
            batch = COLLATE([SAMPLES[sample] for sample in samples]).to(device)
            loss = run(batch["ids"], batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.detach())
    same(torch.stack(losses[1]), torch.stack(losses[0]), 1e-4)


ON_BOTH: tuple[Callable[[torch.device], None], ...] = (
    *(copies_that_do_not_wait, attention_by_a_mask, attention_by_flex, synchronised_statistics, a_compiled_step),
)
ON_A_GPU: tuple[Callable[[torch.device], None], ...] = (
    *(pinned_batches, attention_of_lengths, attention_of_jagged_tensors),
)


def main() -> None:
    """Run all checks and say of each what became of it."""
    there = torch.cuda.is_available()
    device = torch.device("cuda" if there else "cpu")
    name = torch.cuda.get_device_name() if there else f"no CUDA device: torch {torch.__version__} finds none"
    print(f"device: {name}")
    for check in (*ON_BOTH, *ON_A_GPU):
        said = check.__name__.replace("_", " ")
        if check in ON_A_GPU and not there:
            print(f"skipped  {said}: it needs a CUDA device")
            continue
        check(device)
        print(f"kept     {said}, on {device}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
