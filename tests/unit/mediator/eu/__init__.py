"""Tests of the execution units."""
