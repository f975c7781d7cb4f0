"""The command line: `batchwright demo`."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]

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
        import typer
    except ImportError:
        sys.exit("the command line needs its extra: pip install 'batchwright[cli]'")

    app = typer.Typer(add_completion=False, no_args_is_help=True)

    @app.callback()
    def batchwright() -> None:
        """Decide exactly what goes into every training batch."""

    @app.command()
    def demo(
        name: str = typer.Argument("balance", help="; ".join(f"{key}: {what}" for key, what in DEMOS.items())),
        quick: bool = typer.Option(False, help="as little as shows that it runs"),
    ) -> None:
        """Measure something real on data that comes with scikit-learn or Python."""
        if name not in DEMOS:
            raise typer.BadParameter(f"no demo is called {name!r}; there are {', '.join(DEMOS)}")
        run = importlib.import_module(f".demo.{name}", __package__).run
        run(**(QUICK[name] if quick else {}))

    app()
