"""Mailchimp on loopback."""
