"""Indexes of data files on disk: written once by `index`, opened by any process as `Index`."""

from __future__ import annotations

from .build import index
from .opened import Index

__all__ = ["Index", "index"]
