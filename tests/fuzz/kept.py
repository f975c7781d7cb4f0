"""Programs of `test_fuzz.py` that once failed, by what was wrong."""

KEPT: dict[str, str] = {
    "windows far longer than a pass over few shards took seconds": """
plan = bw.packed([12, 16, 5, 7, 25, 29] * 4, 79, local=bw.Shards([0, 8, 8, 8], open=7), seed=0, packs=2)
given = delivered(plan, [(1, 1, 'micro', 1, None), (2, 1, 'micro', 17, None), (1, 1, 'micro', 1, None)])
samples_of(given, 24)
packs(plan, given, [12, 16, 5, 7, 25, 29] * 4, 79, 2, None)
""",
}
