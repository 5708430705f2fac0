"""What connectors to HTTP vendors share; which answer means what is each vendor's own and stands in its connector.

Here belongs what at least two vendors need: how a connector is built (`connector`), the calls of one instruction and
the errors that any vendor may give (`calls`, `errors`), the token that calls bear (`token`) and how fast they follow
each other (`pace`), how many answers become one outcome (`outcomes`), how a record with typed fields is put right
(`corrections`, `field_values`), and how what a webhook brings is read (`deliveries`).
"""
