"""The tables, the connections, the one writer."""
