"""The command line: `batchwright plan`, `inspect`, `compare`, `rewind`, `audit`, `recipe` and `demo`."""

from __future__ import annotations

import sys

__all__ = ["DEMOS", "QUICK", "main"]

DEMOS = {
    "balance": "a long-tailed set of digits, five ways to fill its batches",
    "correct": "what correcting for the sampling does to calibration, where 2 % of digits are sought",
    "lengths": "a small transformer on Python's own text: useful tokens a second, padded, grouped, budgeted, packed",
}
QUICK = {
    "balance": {"seeds": 1, "epochs": 2},
    "correct": {"seeds": 1, "epochs": 2},
    "lengths": {"seconds": 1, "files": 20},
}


def main() -> None:
    """Run the command line."""
    try:
        import rich  # noqa: F401  # only to see whether it is installed
        import typer  # noqa: F401  # the same
    except ImportError:
        sys.exit("the command line needs its extra: pip install 'batchwright[cli]'")
    from .app import app

    app()
