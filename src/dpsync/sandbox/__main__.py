"""`python -m dpsync.sandbox`."""

from dpsync.sandbox.server import main

if __name__ == "__main__":
    raise SystemExit(main())
