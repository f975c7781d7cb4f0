"""The length engine: items, ways to cut them into micro-batches, windows, packs. Pure functions of arrays."""
