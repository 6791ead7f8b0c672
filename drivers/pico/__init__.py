"""PICO headset through the XRoboToolkit PC service: wire, source and emulator."""
