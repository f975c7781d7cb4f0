"""The command line: `batchwright plan`, `inspect`, `compare`, `rewind`, `audit`, `recipe` and `demo`."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    began = time.perf_counter()
    if sys.argv[1:2] == ["rewind"]:
        from .quick import rewound

        text = rewound(sys.argv[2:], began)
        if text is not None:
            _write(text)
            return
    if any(find_spec(needed) is None for needed in ("rich", "typer")):
        sys.exit("the command line needs its extra: pip install 'batchwright[cli]'")
    from .app import app

    app()


def _write(text: str) -> None:
    """Print a text; a reader that wants no more of it, such as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at exit
