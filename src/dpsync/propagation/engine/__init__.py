"""What carries a request out: the worker takes an account, drives what is due there, and each attempt ends in a record.

Here belongs everything that runs: leases, threads, calls of a connector. What an outcome means is decided in `rules`.
"""
