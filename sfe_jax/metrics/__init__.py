"""Evaluation: protocols, methods, evaluation networks, reports and tables.

`measures/` holds the pure functions on arrays that these use.
"""
