"""Brevo on loopback: contacts, lists and blocked addresses."""
