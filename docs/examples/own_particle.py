"""A particle of my own to a detector's counts: draw it, scatter it, count it.  Usage: python own_particle.py OUT.npz"""

import sys

import numpy as np
from braggfill.physics.crystals import draw_object
from braggfill.physics.diffraction import amplitude, expose

rng = np.random.default_rng(3)
shape = (64, 64, 64)

# Either draw one: a random polyhedron with a smooth displacement field of up to 3 rad …
particle = draw_object(rng, shape, kind="correlated", range=3.0, oversampling=3.0)
# … or write any complex array: modulus = electron density, phase = -2 pi G·u, origin at n // 2.
radius = np.sqrt(sum((axis - 32.0) ** 2 for axis in np.indices(shape)))
shell = (radius < 10) * np.exp(1j * 0.1 * (np.indices(shape)[0] - 32))

for name, made in (("drawn", particle), ("sphere", shell)):
    pattern = expose(amplitude(made, shape, shape), photons=1e6, rng=rng)
    print(f"{name}: {pattern.counts.sum():,} photons, brightest voxel {pattern.counts.max():,}")
np.savez_compressed(sys.argv[1], data=pattern.counts)
