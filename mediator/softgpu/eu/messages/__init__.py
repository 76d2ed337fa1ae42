"""The execution units' messages in Python: twins of the C routines in `../native`.

They run where the extension is not built, and say in tests what it must do.
"""
