"""Tests of the scheduling policies, one file each."""
