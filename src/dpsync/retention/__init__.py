"""Private conversations that a processor keeps, and how long it may: one subject, from webhook to report.

Here belong the rule's clock, the conversations themselves, what people say of them (`acts`), the weekly work list and
its letter, the check of an export, and the values that reports tell. Commands and templates only show them.
"""
