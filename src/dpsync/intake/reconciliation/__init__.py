"""Main databases that list their people: once a day each list is compared with what was asked of us, so that what no
message told us of is found. What the comparison finds is taken in by the same door as a message, or asked of a person.
"""
