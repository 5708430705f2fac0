"""Processors that list everybody whom they hold: each night the list is compared with what was asked of us, so that
whoever is back there unseen is found. It reports and proposes, and acts alone only for an opt-out.
"""
