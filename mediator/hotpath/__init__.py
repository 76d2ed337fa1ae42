"""Loops over guest data: C through cffi, each routine with a Python twin."""
