"""Bytes that nobody foresaw, for everything that parses. `targets.py` lists what is fed, and by whom."""
