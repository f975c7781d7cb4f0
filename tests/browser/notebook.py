"""The cells of the notebook that the tests run."""

from __future__ import annotations

CELLS = (
    "import numpy as np\nimport batchwright as bw\n\nlabels = np.repeat(['cat', 'dog', 'eel', 'yak'], [3512, 993, 446, 49])\n"
    "plan = bw.balanced(labels, batch_size=16, target='sqrt')\nplan",
    "plan.summary()",
    "plan.audit()",
    "plan.at(17, rank=1, world_size=4)",
    "plan.report().tables['presence'].to_pandas()",
    "%matplotlib inline\nplan.plot.composition(shuffle=True);",
    "import time\nfrom batchwright.notebook import watched\nfor _ in watched(range(15), 'waiting', 15):\n    time.sleep(0.1)",
    "plan.report()",
)
