"""Facts of the Gen9 GPU: numbers and layouts only, no behaviour."""
