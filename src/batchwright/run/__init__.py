"""How far a run has come: the sampler of a plan, which alone has a state, and what finds it in a loader."""
