"""Benchmarks against the alternatives, as ratios measured in one run; memory, widgets, and many networks at once.

``python -m benchmarks speed --only mala --share 0.1``, or ``make bench ARGS='speed --only mala --share 0.1'``.
"""
