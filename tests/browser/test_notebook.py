"""A notebook, run by a real kernel, and shown in a real browser."""

from __future__ import annotations

import base64
import html

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from .notebook import CELLS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the kernel's client

STYLE = """body { font: 15px system-ui, sans-serif; margin: 24px; width: 860px; color: #1c2024 }
pre { margin: 0; font: 13px ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap }
.code { background: #f4f5f6; border: 1px solid #e3e5e7; padding: 10px 14px; margin: 18px 0 10px }
table { border-collapse: collapse } td, th { padding: 3px 12px; border-bottom: 1px solid #e3e5e7 }"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """For each cell what it showed, by type of content, the last state of each display."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path_factory.mktemp("run"))}}
    )
    client.execute()
    for cell in notebook.cells:
        assert not [output for output in cell.outputs if output.output_type == "error"]
    return [[output.data for output in cell.outputs if "data" in output] for cell in notebook.cells]


def test_every_value_is_shown_as_a_table_or_in_one_line(outputs):
    plan, summary, audit, step, table, _, _, report = (shown[-1] for shown in outputs)
    assert plan["text/plain"].startswith("<plan: ")
    assert "\n" not in plan["text/plain"]
    for shown, words in ((summary, "yak"), (audit, "G3 drift"), (step, "micro_batch"), (table, "of a shuffle")):
        assert "<table" in shown["text/html"]
        assert words in shown["text/html"]
    assert report["text/html"].startswith("<iframe srcdoc=")


def test_plots_stand_in_the_notebook(outputs):
    assert len(base64.b64decode(outputs[5][-1]["image/png"])) > 5_000


def test_what_takes_over_a_second_shows_a_bar_that_goes_away(outputs):
    (bar,) = outputs[6]
    assert bar["text/html"] == ""  # its last state
    assert bar["text/plain"] == ""


def test_a_notebook_looks_like_one(browser, outputs, pictures):
    parts = []
    for code, shown in zip(CELLS[:6], outputs[:6], strict=True):
        parts.append(f'<pre class="code">{html.escape(code)}</pre>')
        for data in shown:
            image = data.get("image/png")
            parts.append(
                f'<img width="600" src="data:image/png;base64,{image}">'
                if image
                else data.get("text/html") or f"<pre>{html.escape(data['text/plain'])}</pre>"
            )
    page = browser.new_page(viewport={"width": 910, "height": 700})
    page.set_content(f"<style>{STYLE}</style>{''.join(parts)}")
    page.screenshot(path=pictures / "notebook.png", full_page=True)
    Image.open(pictures / "notebook.png").convert("RGB").quantize(128).save(pictures / "notebook.png", optimize=True)
    assert 10_000 < (pictures / "notebook.png").stat().st_size < 300_000
    page.set_content(outputs[7][-1]["text/html"])
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "What goes into the batches"
    page.close()
