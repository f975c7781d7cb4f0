"""Costs by length, against loops over tokens, layers and matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed

SIZES = {"layers": 3, "hidden": 24, "heads": 4, "kv_heads": 2, "intermediate": 40, "vocabulary": 90}


def pairs_by_mask(n, window, causal):
    row, column = np.mgrid[:n, :n]
    seen = (column <= row) & (row - column < window) if causal else np.ones((n, n), bool)
    return int(seen.sum())


def work(n, pairs, *, layers, hidden, heads, kv_heads, intermediate, vocabulary, head_size=None):
    """Three times the forward pass, every matrix by itself; `pairs` layer by layer."""
    size = head_size or hidden // heads
    total = 2 * n * hidden * vocabulary
    for layer in range(layers):
        for rows, columns in [
            (hidden, heads * size),
            (hidden, kv_heads * size),
            (hidden, kv_heads * size),
            (heads * size, hidden),
            *[(hidden, intermediate)] * 2,
            (intermediate, hidden),
        ]:
            total += 2 * n * rows * columns
        total += 2 * 2 * heads * size * pairs[layer]  # scores, then values
    return 3 * total


@given(st.integers(1, 40), st.none() | st.integers(1, 50), st.booleans(), st.none() | st.integers(1, 9))
def test_the_work_is_that_of_every_matrix_and_every_pair_that_attends(n, window, causal, head_size):
    window = window if causal else None
    cost = bw.costs.transformer(**SIZES, window=window, causal=causal, head_size=head_size)
    expected = work(n, [pairs_by_mask(n, window or n, causal)] * 3, **SIZES, head_size=head_size)
    assert cost([n]).tolist() == [expected]


CONFIG = {
    "num_hidden_layers": 3,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 90,
}


class Named:
    def __init__(self, **entries):
        vars(self).update(entries)


@pytest.mark.parametrize(
    ("more", "windows", "intermediate", "router"),
    [
        ({}, [99, 99, 99], 40, 0),
        ({"sliding_window": 5}, [5, 5, 5], 40, 0),
        ({"sliding_window": 5, "use_sliding_window": False}, [99, 99, 99], 40, 0),
        ({"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 2}, [5, 99, 5], 40, 0),
        ({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 10}, [99, 99, 99], 20, 8),
        ({"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 10, "n_shared_experts": 1},
         [99, 99, 99], 30, 8),
        ({"num_local_experts": 8, "num_experts_per_tok": 2}, [99, 99, 99], 80, 8),
    ],
)  # fmt: skip
def test_a_config_counts_as_it_says(more, windows, intermediate, router):
    n, sizes = 30, {**SIZES, "intermediate": intermediate}
    expected = work(n, [pairs_by_mask(n, window, True) for window in windows], **sizes)
    expected += 3 * 2 * 3 * n * 24 * router
    for config in (CONFIG | more, Named(**CONFIG, **more), {"text_config": Named(**CONFIG, **more)}):
        assert bw.costs.transformer(config)([n]).tolist() == [expected]


def test_a_real_config_and_arguments_that_replace_its_entries():
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen2Config(
        num_hidden_layers=3, hidden_size=24, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40,
        vocab_size=90,
    )  # fmt: skip
    lengths = np.array([1, 7, 30])
    assert np.array_equal(bw.costs.transformer(config)(lengths), bw.costs.transformer(**SIZES)(lengths))
    assert np.array_equal(
        bw.costs.transformer(config, vocabulary=0)(lengths), bw.costs.transformer(**{**SIZES, "vocabulary": 0})(lengths)
    )


LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 90, "attn_implementation": "eager",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("Llama", LLAMA),
        ("Qwen2", LLAMA),
        ("Gemma3Text", LLAMA | {"head_dim": 16}),
        ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 90, "attn_implementation": "eager"}),
        ("DeepseekV3", LLAMA | {
            "num_key_value_heads": 4, "kv_lora_rank": 6, "q_lora_rank": 10, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
            "v_head_dim": 12, "first_k_dense_replace": 3, "mlp_layer_types": ["dense"] * 3, "n_group": 1, "topk_group": 1,
        }),
        ("Mixtral", LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager"}),
        ("Qwen3Moe", LLAMA | {
            "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "mlp_only_layers": [1],
            "head_dim": 8, "experts_implementation": "eager",
        }),
    ],
)  # fmt: skip
def test_it_is_the_work_that_torch_counts_in_a_training_step(name, sizes):
    """Eager attention computes masked pairs too, as `causal=False` counts them; all else is the same number."""
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = getattr(transformers, f"{name}Config")(**sizes)
    model = transformers.AutoModelForCausalLM.from_config(config)
    n = 12
    tokens = torch.arange(2 * n).reshape(2, n) % 90
    with FlopCounterMode(display=False) as counter:
        model(tokens, use_cache=False).logits.sum().backward()
    expected = bw.costs.transformer(config, window=n, causal=False)([n, n]).sum()
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.003)  # rotary angles are a small product


@pytest.mark.parametrize("name", ["SiglipVision", "CLIPVision", "ViT"])
def test_a_vision_tower_counts_by_its_patches(name):
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = getattr(transformers, f"{name}Config")(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8,
        attn_implementation="eager",
    )  # fmt: skip
    model = getattr(transformers, f"{name}Model")(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 32, 32)).last_hidden_state.sum().backward()
    layers = sum(
        sum(by_operator.values())
        for module, by_operator in counter.get_flop_counts().items()
        if module.endswith("layers")
    )
    each = [
        sum(by_operator.values())
        for module, by_operator in counter.get_flop_counts().items()
        if module.endswith(("layers.0", "layers.1", "layer.0", "layer.1"))
    ]
    patches = 16 + (name != "SiglipVision")  # and a token of its own for the class
    expected = bw.costs.transformer(config, vocabulary=0, causal=False)([patches])[0]
    assert max(layers, sum(each)) == expected


def test_costs_go_into_plans():
    lengths = np.clip(np.random.default_rng(0).lognormal(5, 1, 2000), 16, 2048).astype(int)
    for cost in (bw.costs.transformer(**SIZES), bw.costs.quadratic(100), bw.costs.linear(3)):
        plan = bw.packed(lengths, 2048, cost=cost).stepped(8)
        assert plan.summary(8).waiting < 1.05  # 29 steps of 8
        assert plan.cost(plan[3]) == pytest.approx(cost(lengths[plan[3]]).sum())
        assert plan.fingerprint == bw.packed(lengths, 2048, cost=cost).stepped(8).fingerprint
    pairs = bw.packed(lengths, 4096, cost=bw.costs.linear(), together=np.arange(2000) // 2)
    assert pairs.cost(pairs[0]) == lengths[pairs[0]].sum()


CASES = cases("refuse message follow", {
    "no pairs": (lambda: bw.costs.Cost(1, ((None, 1.0), 2)), "per_pair has 2; pass pairs of a window, or None, and the cost",
                 lambda: bw.costs.Cost(1, ((None, 1.0), (2, 2.0)))([3])),
    "a window": (lambda: bw.costs.Cost(1, ((0, 1.0),)), "the window of per_pair is 0, the least is 1; pass ",
                 lambda: bw.costs.Cost(1, ((1, 1.0),))([3])),
    "no truth": (lambda: bw.costs.Cost(1, causal=np.ones(2)), "neither True nor False; pass causal=True or causal=False",
                 lambda: bw.costs.Cost(1, causal=True)([3])),
    "no heads of keys": (lambda: bw.costs.transformer(**SIZES | {"kv_heads": 0}), "kv_heads is 0, the least is 1; pass kv",
                         lambda: bw.costs.transformer(**SIZES | {"kv_heads": None})),
    "no size of a head": (lambda: bw.costs.transformer(**SIZES, head_size=0), "head_size is 0, the least is 1; pass head",
                          lambda: bw.costs.transformer(**SIZES, head_size=1)),
    "no sizes": (lambda: bw.costs.transformer(hidden=8),
                 "the sizes of the model lack layers, heads, intermediate, vocabulary; pass layers=...",
                 lambda: bw.costs.transformer(**SIZES)),
    "no config": (lambda: bw.costs.transformer(3), "config is of type int; pass a Hugging Face config, a dictionary, or",
                  lambda: (bw.costs.transformer(CONFIG), bw.costs.transformer(**SIZES))),
    "layers of another kind": (
        lambda: bw.costs.transformer(CONFIG | {"layer_types": ["linear_attention"] * 3}),
        "the config has layers of 'linear_attention', known are 'sliding_attention', 'full_attention'; pass window=",
        lambda: bw.costs.transformer(CONFIG | {"layer_types": ["linear_attention"] * 3}, window=9)),
    "a factor below 0": (lambda: bw.costs.linear(-1), "per_token is -1; pass a number of 0 or more",
                         lambda: bw.costs.linear(0)),
})  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_every_refusal_has_its_way_out():
    check_that_all_are_reached([SOURCE / "costs.py"], 4, [CASES])
