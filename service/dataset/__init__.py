"""Offline work on whole files: retargeting, quality figures."""
