"""A real browser: Debian's chromium, or the one that the environment variable CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

NEEDED = "these tests need a browser: apt-get install chromium, or set CHROMIUM to the path of one"


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail(NEEDED)
    with sync_playwright() as playwright:
        # a sandbox needs rights that a container does not give; the pages are our own
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots go: docs/images with SCREENSHOTS=docs/images, as `make screenshots` says."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
