"""Turns stored results into an asv dashboard."""
