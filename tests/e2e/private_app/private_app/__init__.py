"""Clients that share one array and keep another."""
