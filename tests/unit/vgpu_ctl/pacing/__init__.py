"""Tests of how work for outsiders is paced."""
