"""Measure a plan against its guarantees, on what it really yields."""

from __future__ import annotations

from .measure import audit
from .report import Audit, Finding

__all__ = ["Audit", "Finding", "audit"]
