from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from .ranks import Ranks


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small lose to a second thread's hand-over, tenfold on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    joined = Ranks(tmp_path_factory.mktemp("ranks") / "store")
    yield joined
    joined.close()
