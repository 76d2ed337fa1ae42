"""cffi build script of the hot path."""
