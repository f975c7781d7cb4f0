"""Demonstrations on data that comes with scikit-learn; each prints what it measured, whichever wins."""
