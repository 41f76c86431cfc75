"""How a new object probably moves: as those that pass by the same way.

Parts on a belt, cars in a lane and people on a stair follow each other. Where the next detection of a new object could
be ahead as well as behind (spacing of two lengths, one length for each detection), only that tells one from the other.
A known object speaks for places ahead of it and behind it on its path, hardly for places beside; objects of another
size say less. Where nobody is near, a new object is taken to be at rest with the widest spread of speeds.
"""

import numpy as np

from vedette.edge.analytics.kalman import FIRST_RATE, RATE, VALUE, VAR_RATE, Floats

ACROSS_SIDES, ALONG_SIDES = 1.0, 4.0  # reach of an object's word, to the sides of its path and along it
SIZE_POWER = 2.0
DOUBT = 0.1  # the weight of knowing nothing, where one object on the spot has a weight of 1
SLOW_SIDES_PER_S = 0.3  # below this the direction of a path means little


def expect_motion(new: Floats, known: Floats) -> None:
    """Give the filters `new` (5, 4, k), in place, rates as the filters `known` (5, 4, n) have around them."""
    if not known.shape[2]:
        return
    side_px = np.exp(new[VALUE, 2] / 2)  # (k,)
    rates = known[RATE, :2] / np.exp(known[VALUE, 2] / 2)  # (2, n) sides per s
    weights = _weights(new[VALUE], known[VALUE], rates)  # (k, n)
    total = weights.sum(axis=1)  # (k,)
    shares = weights / np.maximum(total, 1e-12)[:, None]
    mean = shares @ rates.T  # (k, 2)
    apart = rates.T[None, :, :] - mean[:, None, :]  # (k, n, 2)
    spread = (shares * np.square(apart).sum(axis=2)).sum(axis=1) / 2 + shares @ known[VAR_RATE, 0]  # (k,)
    trust = total / (total + DOUBT)
    ignorance = FIRST_RATE[0] + trust * np.square(mean).sum(axis=1) / 2  # at rest, as seen from the mean
    new[RATE, :2] = trust * mean.T * side_px
    new[VAR_RATE, :2] = trust * spread + (1 - trust) * ignorance


def _weights(new: Floats, known: Floats, rates: Floats) -> Floats:
    """(k, n) how much each known object, with `rates` (2, n) in sides per s, says about each new one."""
    off = (new[:2, :, None] - known[:2, None, :]) / np.exp(new[2] / 2)[:, None]  # (2, k, n) sides
    path = rates / np.maximum(np.hypot(rates[0], rates[1]), SLOW_SIDES_PER_S)  # (2, n), length 1 where it moves
    along = off[0] * path[0] + off[1] * path[1]  # (k, n)
    across_squared = np.square(off).sum(axis=0) - np.square(along)
    unlike = SIZE_POWER * np.abs(known[2][None, :] - new[2][:, None])
    return np.asarray(np.exp(-across_squared / ACROSS_SIDES**2 - np.square(along / ALONG_SIDES) - unlike))
