"""Eventbrite on loopback."""
