"""EU threads computed instruction by instruction, vectorised over their channels."""
