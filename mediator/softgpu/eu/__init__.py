"""The execution units: decoder, semantics, interpreter, translator, messages, dispatch."""
