"""Programs of `test_stream_fuzz.py` that once failed, by what was wrong."""

KEPT: dict[str, str] = {}
