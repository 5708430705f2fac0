"""Main databases that leave their changes in a table of their own, the outbox: dpsync looks there, instead of waiting
for messages. What is found goes through the same mapping and the same reception as what is sent.
"""
