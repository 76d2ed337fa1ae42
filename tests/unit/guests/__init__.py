"""Tests of the pure parts of the guests: parsers, writers, orders and messages."""
