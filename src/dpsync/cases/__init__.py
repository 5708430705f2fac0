"""Cases of the data protection officer: complaints (DPA 2018 s. 164A) and incidents (Art. 33), step by step.

A case is the list of what was done about it, which is only ever added to. Nothing is ever sent to anybody outside.
"""
