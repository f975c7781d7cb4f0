"""What torchtitan's loader packs in a run of its trainer."""

from __future__ import annotations

from typing import Any

import batchwright as bw

SEQ_LEN, ROWS = 16, 3
LENGTHS = [n * 7 % 15 + 2 for n in range(90)]  # tokens of each document; the last of them is a label only


def plan() -> Any:
    """What the loader's plan is to be: 15 micro-batches of documents an epoch."""
    return bw.packed([length - 1 for length in LENGTHS], SEQ_LEN, packs=ROWS)
