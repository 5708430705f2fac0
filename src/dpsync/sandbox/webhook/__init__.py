"""A processor that speaks Standard Webhooks, on loopback."""
