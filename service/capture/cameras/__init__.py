"""Cameras of a recording: where pictures come from, how they are compressed, how they reach the recorder."""
