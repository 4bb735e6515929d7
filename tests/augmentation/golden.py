"""Makes the golden numbers of tests/augmentation.rs: a patch by SciPy's interpolation.

    python3 -m venv venv
    venv/bin/pip install scipy==1.17.1 numpy
    venv/bin/python golden.py
"""

import numpy as np
from scipy.ndimage import map_coordinates

DIMS, PATCH, START = (16, 16, 16), (12, 10, 14), (-2, 3, 4)
MAP = np.array(
    [[0.9137, -0.3071, 0.1113], [0.2579, 1.0531, -0.2087], [0.0533, 0.1499, 0.9551]]
)
MOVED = (0.4127, -0.7193, 0.2311)

# i is the fastest axis: [k, j, i].
places = np.arange(np.prod(DIMS)).reshape(DIMS)
scan = (places * 37 % 101 / 10).astype(np.float32)
labels = (places * 53 % 7).astype(np.uint8)

offsets = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in PATCH], indexing="ij")
center = [s + (n - 1) / 2 for s, n in zip(START, PATCH)]
coordinates = [
    center[a] + sum(MAP[a, b] * offsets[b] for b in range(3)) + MOVED[a] for a in range(3)
]
# From (i, j, k) to SciPy's [k, j, i]; what comes out is [i, j, k].
place = [coordinates[2], coordinates[1], coordinates[0]]
values = map_coordinates(scan, place, order=1, mode="grid-constant", cval=0)
nearest = map_coordinates(labels, place, order=0, mode="grid-constant", cval=0)
voxels = [(0, 0, 0), (6, 5, 7), (11, 2, 3), (3, 9, 13), (5, 0, 1), (9, 7, 4)]
print("values", [(v, round(float(values[v]), 5)) for v in voxels])
print("labels", [int(nearest[v]) for v in voxels])
print("sums", round(float(values.astype(np.float64).sum()), 2), int(nearest.sum()))
