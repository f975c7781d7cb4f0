"""The hot loops: nopython-compiled, pure functions of arrays."""
