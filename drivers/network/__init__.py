"""Poses as JSON or MessagePack frames over UDP or WebSocket: wire, source and emulator."""
