"""Raw packets, recorded and fed back."""
