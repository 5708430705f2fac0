"""What the data protection officer reads: values first, then pages."""
