"""How well a policy does: clips through the whole pipeline in lock step, seeded, perturbed, judged."""
