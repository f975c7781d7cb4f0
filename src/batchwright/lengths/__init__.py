"""The length engine: items, ways to cut them into micro-batches, windows, packs. Pure functions of arrays.

`docs/design.md` explains its words under "Words", and under "Windows of plans by lengths" how a window comes about.
"""
