"""Imported last by the server of `processes`: what it has imported stays, and no process it forks need look at it again.

A garbage collection of all objects of torch and the trainers costs such a process more than a short run of a trainer.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
