"""Clients that fail in three ways, each with a secret in the message of its exception."""
