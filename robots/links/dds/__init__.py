"""Unitree's low-level interface over DDS."""
