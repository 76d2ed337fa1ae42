"""The 3D pipeline, as far as it goes: rectangles with a pixel shader, as drivers copy and clear."""
