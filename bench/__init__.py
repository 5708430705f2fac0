"""What is measured, and how: `python -m bench`, or `make bench`."""
