"""Letters and what comes back: answers by link and by mail, bounces, who is asked next, receipts of answers.

Here belongs what a person at a processor reads, writes or presses. One letter is laid out by the notice connector.
"""
