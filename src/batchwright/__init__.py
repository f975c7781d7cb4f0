"""Decide exactly what goes into every training batch.

Everything public is reachable from here and loaded on first use: `import batchwright` itself loads neither torch nor
the compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import fork as _fork  # noqa: F401  # before anything is imported in a thread

if TYPE_CHECKING:
    from . import correct, costs, feedback, online, targets
    from . import labels as labels
    from .collate import (
        Batch,
        Collate,
        Layout,
        Padding,
        Ragged,
        aside,
        attention,
        block_diagonal,
        identified,
        media,
        opaque,
        ragged,
        resized,
        scalar,
        stack,
    )
    from .composition import Composition
    from .errors import Infeasible, PoorWarning
    from .files import Column
    from .geometry import Geometry
    from .groups import Groups
    from .indexes import Index, index
    from .lengths.partition import partition
    from .orders.shards import Shards
    from .plans.alternating import alternating
    from .plans.balanced import balanced, shuffled, weighted
    from .plans.bucketed import bucketed
    from .plans.budgeted import budgeted
    from .plans.evaluation import evaluation
    from .plans.grouped import grouped
    from .plans.hierarchical import hierarchical
    from .plans.hybrid import hybrid
    from .plans.in_turn import ordered, sequential
    from .plans.mixed import mixed
    from .plans.multilabel import multilabel, multilabel_weights
    from .plans.packed import packed
    from .plans.plan import Plan
    from .plans.raked import raked
    from .plans.rotating import rotating
    from .ranks import check_ranks
    from .recipes import from_recipe
    from .run.sampler import BatchSampler
    from .shared_list import SharedList
    from .splitting import Split, split

__version__ = "0.1.0"

_HOME = {
    "Batch": "collate",
    "BatchSampler": "run.sampler",
    "Collate": "collate",
    "Column": "files",
    "Composition": "composition",
    "Geometry": "geometry",
    "Groups": "groups",
    "Index": "indexes",
    "Infeasible": "errors",
    "Layout": "collate",
    "Loader": "loader",
    "Padding": "collate",
    "Plan": "plans.plan",
    "PoorWarning": "errors",
    "Ragged": "collate",
    "Shards": "orders.shards",
    "SharedList": "shared_list",
    "Split": "splitting",
    "alternating": "plans.alternating",
    "aside": "collate",
    "attention": "collate",
    "balanced": "plans.balanced",
    "block_diagonal": "collate",
    "bucketed": "plans.bucketed",
    "budgeted": "plans.budgeted",
    "check_ranks": "ranks",
    "correct": "",
    "costs": "",
    "evaluation": "plans.evaluation",
    "feedback": "",
    "from_recipe": "recipes",
    "grouped": "plans.grouped",
    "hierarchical": "plans.hierarchical",
    "hybrid": "plans.hybrid",
    "identified": "collate",
    "index": "indexes",
    "labels": "",
    "media": "collate",
    "mixed": "plans.mixed",
    "multilabel": "plans.multilabel",
    "multilabel_weights": "plans.multilabel",
    "online": "",
    "opaque": "collate",
    "ordered": "plans.in_turn",
    "packed": "plans.packed",
    "partition": "lengths.partition",
    "ragged": "collate",
    "raked": "plans.raked",
    "resized": "collate",
    "rotating": "plans.rotating",
    "scalar": "collate",
    "sequential": "plans.in_turn",
    "shuffled": "plans.balanced",
    "split": "splitting",
    "stack": "collate",
    "targets": "",
    "weighted": "plans.balanced",
}

__all__ = [
    "Batch",
    "BatchSampler",
    "Collate",
    "Column",
    "Composition",
    "Geometry",
    "Groups",
    "Index",
    "Infeasible",
    "Layout",
    "Loader",
    "Padding",
    "Plan",
    "PoorWarning",
    "Ragged",
    "Shards",
    "SharedList",
    "Split",
    "__version__",
    "alternating",
    "aside",
    "attention",
    "balanced",
    "block_diagonal",
    "bucketed",
    "budgeted",
    "check_ranks",
    "correct",
    "costs",
    "evaluation",
    "feedback",
    "from_recipe",
    "grouped",
    "hierarchical",
    "hybrid",
    "identified",
    "index",
    "media",
    "mixed",
    "multilabel",
    "multilabel_weights",
    "online",
    "opaque",
    "ordered",
    "packed",
    "partition",
    "ragged",
    "raked",
    "resized",
    "rotating",
    "scalar",
    "sequential",
    "shuffled",
    "split",
    "stack",
    "targets",
    "weighted",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from .errors import suggestion

        asked = suggestion(name, _HOME)
        # Without the object, as Python would add a question of its own.
        message = f"module 'batchwright' has no attribute {name!r}{'; ' if asked else ''}{asked}"
        raise AttributeError(message, name=name, obj=None)
    home = _HOME[name]  # "" for what is itself a module
    value = (
        getattr(importlib.import_module(f".{home}", __name__), name)
        if home
        else importlib.import_module(f".{name}", __name__)
    )
    from .public import opened

    value = opened(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
