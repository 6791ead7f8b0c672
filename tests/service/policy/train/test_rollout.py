"""Advantages against their definition, and a batch without what is no number."""

from __future__ import annotations

import numpy as np

from teleopd.service.policy.train.rollout import Rollout, advantages


def test_advantages_are_the_discounted_sum_of_surprises():
    rng = np.random.default_rng(0)
    ticks, count, gamma, lam = 6, 3, 0.9, 0.8
    reward, value = (rng.normal(size=(ticks, count)).astype(np.float32) for _ in range(2))
    last = rng.normal(size=count).astype(np.float32)
    ended = np.zeros((ticks, count), dtype=bool)
    ended[2, 0] = ended[5, 1] = True
    wanted = np.zeros((ticks, count))
    for i in range(count):
        for t in range(ticks):
            factor = 1.0
            for k in range(t, ticks):
                after = 0.0 if ended[k, i] else (last[i] if k == ticks - 1 else value[k + 1, i])
                wanted[t, i] += factor * (reward[k, i] + gamma * after - value[k, i])
                if ended[k, i]:
                    break
                factor *= gamma * lam
    np.testing.assert_allclose(advantages(reward, value, ended, last, gamma, lam), wanted, atol=1e-5)


def test_a_batch_leaves_out_what_is_not_finite():
    rollout = Rollout(4, 5)
    rollout.reward[:] = np.arange(20).reshape(4, 5)
    rollout.used[1, 2, 7] = np.inf
    rollout.action[3, 4, 0] = np.nan
    batch = rollout.batch(np.zeros(5, np.float32), 0.99, 0.95)
    assert len(batch.used) == len(batch.value) == 18
    assert all(np.isfinite(values).all() for values in batch)
    assert batch.used.shape == (18, 537) and batch.privileged.shape == (18, 108) and batch.taught.shape == (18,)
