from __future__ import annotations

from collections.abc import Iterator

import pytest

from .ranks import Ranks


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    joined = Ranks(tmp_path_factory.mktemp("ranks") / "store")
    yield joined
    joined.close()
