"""Tests of the control API's server, part by part."""
