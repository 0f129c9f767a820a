"""Fuzzing: what a server, a proxy or a token bearer sends may be anything.

``targets`` holds one function per parser, which takes bytes and raises AssertionError where a
property is broken; Hypothesis feeds them in the tests, atheris in ``python -m tests.fuzz``.
"""
