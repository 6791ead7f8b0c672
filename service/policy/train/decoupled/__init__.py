"""Training of policies whose legs follow a velocity and a height while arms and torso follow the reference."""
