"""Cost: what a sample costs, how many fit, and who carries how much. Pure functions of arrays."""
