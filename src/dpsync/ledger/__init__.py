"""The proof: an RFC 6962 tree of entries, signed checkpoints, receipts."""
