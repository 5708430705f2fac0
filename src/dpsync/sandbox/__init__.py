"""The vendors' APIs and a mailbox on loopback, written from the vendors' documentation alone."""
