"""Measures the guarantees of a plan on the micro-batches that it yields."""

from __future__ import annotations

from .evaluation import audit_evaluation
from .hybrid import audit_hybrid
from .lengths import audit_lengths
from .measure import audit
from .rank import audit_rank
from .report import Audit, Finding

__all__ = [
    "Audit",
    "Finding",
    "audit",
    "audit_evaluation",
    "audit_hybrid",
    "audit_lengths",
    "audit_rank",
]
