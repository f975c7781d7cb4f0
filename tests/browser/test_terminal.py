"""What the commands print on a terminal, as a picture for the docs."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
from PIL import Image
from rich.console import Console
from rich.text import Text

COMMANDS = (
    "inspect animals.csv --label label",
    "plan animals.csv --label label --batch-size 16 --target sqrt --world-size 4",
)


def test_a_terminal_looks_like_one(browser, pictures, tmp_path):
    names = np.random.default_rng(0).choice(["cat", "dog", "eel", "yak"], 5000, p=[0.7, 0.2, 0.09, 0.01])
    rows = "".join(f"{number}.png,{name}\n" for number, name in enumerate(names))
    (tmp_path / "animals.csv").write_text(f"file,label\n{rows}")
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    run = "from batchwright.cli import main; main()"
    for command in COMMANDS:
        console.print(f"[bold green]$[/] batchwright {command}", highlight=False)
        told = subprocess.run(
            [sys.executable, "-c", run, *command.split()],
            cwd=tmp_path,
            env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "100", "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=True,
        )
        console.print(Text.from_ansi(told.stdout), "", sep="\n")
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_content(console.export_svg(title="batchwright"))
    page.locator("svg").first.screenshot(path=pictures / "terminal.png")
    Image.open(pictures / "terminal.png").convert("RGB").quantize(128).save(pictures / "terminal.png", optimize=True)
    assert "yak" in page.locator("svg").first.inner_html()
    assert 10_000 < (pictures / "terminal.png").stat().st_size < 300_000
    page.close()
