"""Virtual Motion Capture protocol (OSC over UDP): wire, humanoid bones, source and emulator."""
