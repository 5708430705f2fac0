"""What can go wrong, row by row: each fault, what must hold, and which tests show it with a figure."""
