"""OptiTrack Motive over NatNet."""
