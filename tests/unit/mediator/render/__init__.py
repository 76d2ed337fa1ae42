"""The 3D pipeline."""
