"""An installation at work: how it begins, what runs by its clock, and how it is going.

What comes in belongs to `intake`, what is decided and told to `propagation`; here they are only set going.
"""
