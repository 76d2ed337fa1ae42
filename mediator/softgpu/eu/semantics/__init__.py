"""What each EU instruction does, once, for whoever computes it: NumPy or LLVM."""
