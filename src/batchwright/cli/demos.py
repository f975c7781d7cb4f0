"""The demonstrations, and how each is run quickly."""

from __future__ import annotations

__all__ = ["DEMOS", "QUICK"]

DEMOS = {
    "balance": "a long-tailed set of digits, five ways to fill its batches",
    "correct": "what correcting for the sampling does to calibration, where 2 % of digits are sought",
    "long": "a tiny transformer on two processes: how long each waits, with and without equal work",
    "lengths": "a small transformer on Python's own text: useful tokens a second, padded, grouped, budgeted, packed",
}
QUICK = {
    "balance": {"seeds": 1, "epochs": 2},
    "correct": {"seeds": 1, "epochs": 2},
    "lengths": {"seconds": 1, "files": 20},
    "long": {"steps": 3, "files": 8},
}
