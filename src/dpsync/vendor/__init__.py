"""What connectors to HTTP vendors share; which answer means what is each vendor's own and stands in its connector.

Here belongs what at least two vendors need: how a connector is built (`connector`), the base for vendors that keep
people in places (`places`), the calls of one instruction (`calls`), a vendor's errors as a table and what ends a step
(`errors`), the token that calls bear (`token`) and how fast they follow each other (`pace`), how many answers become
one outcome (`outcomes`), how a record with typed fields is put right (`rectification`, `corrections`, `field_values`),
how what a webhook brings is read (`deliveries`), and what was told
to a processor that answers later (`tellings`).
"""
