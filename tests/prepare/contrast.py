"""Prints the constants of model-core/src/prepare/contrast.rs.

Usage: python3 contrast.py DATA > constants.txt

DATA holds folders of skull-stripped cases with files *_t1.nii.gz, *_t1ce.nii.gz, *_t2.nii.gz and
*_flair.nii.gz at 2 mm, such as BraTS averaged to 2 mm. Needs nibabel, numpy and scipy.

Also prints how many of the scans are recognized when each case in turn is left out of the constants,
alone and as the most likely assignment of the four scans of a case.
"""

import itertools
import pathlib
import sys

import nibabel
import numpy
from scipy.ndimage import distance_transform_edt

CONTRASTS = ["t1", "t1ce", "t2", "flair"]


def features(path):
    image = nibabel.load(path)
    values = numpy.asanyarray(image.dataobj).astype(float)
    mask = values != 0
    depth = distance_transform_edt(mask, image.header.get_zooms()[:3])[mask]
    values = values[mask]
    p10, p50, p90, p98, p995 = numpy.percentile(values, [10, 50, 90, 98, 99.5])
    shell = lambda low, high: numpy.median(values[(depth >= low) & (depth < high)])
    ratios = [p10 / p50, p90 / p50, p98 / p50, p995 / p50, shell(10, 22) / shell(3, 8), shell(0, 3) / p50]
    return numpy.log(ratios)


def fit(cases):
    means = numpy.mean(cases, axis=0)
    deviations = (cases - means).reshape(-1, means.shape[1])
    return means, numpy.linalg.inv(numpy.cov(deviations.T))


def distances(case, means, precision):
    differences = case[:, None] - means[None]
    return numpy.einsum("abi,ij,abj->ab", differences, precision, differences)


folders = sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_dir())
cases = numpy.array([[features(next(folder.glob(f"*_{name}.nii.gz"))) for name in CONTRASTS] for folder in folders])
alone = together = 0
for left_out in range(len(cases)):
    found = distances(cases[left_out], *fit(numpy.delete(cases, left_out, axis=0)))
    alone += sum(found[n].argmin() == n for n in range(4))
    orders = itertools.permutations(range(4))
    best = min(orders, key=lambda order: sum(found[n, order[n]] for n in range(4)))
    together += sum(best[n] == n for n in range(4))
means, precision = fit(cases)
print(f"// {len(cases)} cases; left out: {alone} of {4 * len(cases)} alone, {together} together")
print("means", numpy.round(means, 3).tolist())
print("precision", numpy.round(precision, 1).tolist())
