"""Argument checks, sealed files, and threads."""
