"""Gamepads (Linux evdev) and the terminal's keyboard: sources of velocity commands."""
