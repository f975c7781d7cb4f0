"""The cells of the notebook that the tests run."""

from __future__ import annotations

MAKE = """import numpy as np
import batchwright as bw

labels = np.repeat(['cat', 'dog', 'eel', 'yak'], [3512, 993, 446, 49])
plan = bw.balanced(labels, batch_size=16, target='sqrt')
plan"""
WAIT = """import time
from batchwright.notebook import watched
for _ in watched(range(15), 'waiting', 15):
    time.sleep(0.1)"""

CELLS = (
    MAKE,
    "plan.summary()",
    "plan.audit()",
    "plan.at(17, rank=1, world_size=4)",
    "plan.report().tables['presence'].to_pandas()",
    "%matplotlib inline\nplan.plot.composition(shuffle=True);",
    WAIT,
    "plan.report()",
)
