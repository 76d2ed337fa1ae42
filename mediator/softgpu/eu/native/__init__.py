"""The execution units' runtime in C: its sources and their build script."""
