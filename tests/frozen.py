"""The last import of the server of `processes`: garbage collections of the processes that it forks skip what it imported.

To collect all objects of torch and the trainers takes such a process longer than a short run of a trainer.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
