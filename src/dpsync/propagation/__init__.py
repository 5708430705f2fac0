"""How a request goes out, to one processor after the other."""
