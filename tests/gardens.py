"""The settings of a small society that only rehearses: what every settings file of a test begins with."""

GARDENS = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[ledger]
origin = "example.org/dpsync"
"""
