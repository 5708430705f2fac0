"""What follows from what: every decision about a request, without a clock, a store or a network.

Here belongs what can be said of values alone. `lifecycle.advance` is the only judge of a state, `plan` of an order.
"""
