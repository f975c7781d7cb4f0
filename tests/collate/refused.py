"""A sample that is a record, and how the tests of errors collate what is refused."""

from __future__ import annotations

import dataclasses

import pytest

import batchwright as bw


def refused(collate: bw.Collate, *samples: object) -> str:
    with pytest.raises(bw.Infeasible) as caught:
        collate(list(samples))
    return str(caught.value)


@dataclasses.dataclass
class Text:
    ids: object
