"""Gen9 EU instructions as values: from words, to words, from and to text."""
