r"""Makes golden.json: scores of small label maps, by other implementations.

    python3 -m venv venv
    venv/bin/pip install monai==1.6.1 torch scipy SimpleITK connected-components-3d medpy \
        surface-distance-based-measures==0.1
    venv/bin/python golden.py > golden.json

Dice and volumes come from SimpleITK; HD95, HD and NSD by voxels from MONAI (the largest distance is
checked against MedPy), by areas from DeepMind's surface-distance; components from cc3d, dilations
from SciPy. What scores a lesion follows the rule of BraTS 2023 (GLI), written here from its
description; MONAI and surface-distance measure each lesion.

A label map is a list of ellipsoids [code, center i j k, radii i j k], drawn in this order in whole
numbers, so that any program draws the same.
"""

import json
import random
import sys

import cc3d
import medpy.metric
import numpy as np
import scipy.ndimage
import SimpleITK as sitk
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import binary_dilation, generate_binary_structure

# surface-distance calls NumPy and SciPy by names that they have given up.
np.Inf = np.inf
scipy.ndimage.filters = scipy.ndimage.morphology = scipy.ndimage
import surface_distance  # noqa: E402

REGIONS = [[1, 2, 3], [1, 3], [3]]
TOLERANCES_MM = [0.5, 1.0, 2.0]
DILATIONS, MIN_LESION_MM3, PENALTY_MM = 3, 50.0, 374.0


def draw(dims, shapes):
    """Voxel x belongs to an ellipsoid where the sum of (2 (x - c) / (2 r + 1))² is at most 1."""
    labels = np.zeros(dims, dtype=np.uint8)
    axes = np.indices(dims, dtype=np.int64)
    for code, *numbers in shapes:
        center, edges = numbers[:3], [2 * r + 1 for r in numbers[3:]]
        whole = edges[0] * edges[1] * edges[2]
        terms = [(2 * (axes[a] - center[a]) * (whole // edges[a])) ** 2 for a in range(3)]
        labels[sum(terms) <= whole**2] = code
    return labels


def tensor(mask):
    """As MONAI takes it: batch and channel in front, a slice without its third axis."""
    mask = mask[:, :, 0] if mask.shape[2] == 1 else mask
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def hausdorff(predicted, reference, spacing, percentile=None):
    spacing = spacing[:2] if predicted.shape[2] == 1 else spacing
    found = compute_hausdorff_distance(
        tensor(predicted), tensor(reference), include_background=True, percentile=percentile,
        spacing=spacing,
    )
    return float(found)


def surface_dice(predicted, reference, spacing, tolerance):
    spacing = spacing[:2] if predicted.shape[2] == 1 else spacing
    found = compute_surface_dice(
        tensor(predicted), tensor(reference), [tolerance], include_background=True,
        spacing=spacing,
    )
    return float(found)


def by_areas(predicted, reference, spacing):
    if predicted.shape[2] == 1:
        predicted, reference, spacing = predicted[:, :, 0], reference[:, :, 0], spacing[:2]
    return surface_distance.compute_surface_distances(reference, predicted, spacing)


def areas_hd95(predicted, reference, spacing):
    distances = by_areas(predicted, reference, spacing)
    return float(surface_distance.compute_robust_hausdorff(distances, 95))


def areas_nsd(predicted, reference, spacing, tolerance):
    distances = by_areas(predicted, reference, spacing)
    return float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance))


def overlap(predicted, reference):
    measure = sitk.LabelOverlapMeasuresImageFilter()
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (predicted, reference)]
    measure.Execute(*images)
    return measure.GetDiceCoefficient()


def volume_ml(mask, spacing):
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask.transpose(2, 1, 0)).astype(np.uint8))
    image.SetSpacing(spacing)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image)
    return shape.GetPhysicalSize(1) / 1000 if mask.any() else 0.0


def lesion_wise(predicted, reference, spacing):
    """Written from the rule: dilate, connect, match what touches, leave out what is small."""
    structure = generate_binary_structure(3, 2)
    dilated = binary_dilation(reference, structure, iterations=DILATIONS)
    dilated = cc3d.connected_components(dilated.astype(np.uint8), connectivity=26)
    components = cc3d.connected_components(predicted.astype(np.uint8), connectivity=26)
    voxel_mm3 = np.prod(spacing)
    touching, scores, missed, small = set(), [], 0, 0
    for lesion in range(1, dilated.max() + 1):
        truth = reference & (dilated == lesion)
        # Dilated alone, as the rule says; the same as its part of the dilated whole.
        around = binary_dilation(truth, structure, iterations=DILATIONS)
        matched = set(np.unique(components[around])) - {0}
        touching |= matched
        if truth.sum() * voxel_mm3 <= MIN_LESION_MM3:
            small += 1
        elif not matched:
            missed += 1
            scores.append((0.0, PENALTY_MM, PENALTY_MM))
        else:
            merged = np.isin(components, list(matched))
            hd95 = hausdorff(merged, truth, spacing, 95)
            scores.append((overlap(merged, truth), hd95, areas_hd95(merged, truth, spacing)))
    false_positives = len(set(np.unique(components)) - {0} - touching)
    counts = [len(scores), missed, false_positives, small]
    scores += [(0.0, PENALTY_MM, PENALTY_MM)] * false_positives
    dice, hd95, areas = (float(x) for x in np.mean(scores, axis=0)) if scores else (1.0, 0.0, 0.0)
    hd95 = {"voxels": round(hd95, 6), "areas": round(areas, 6)}
    return {"dice": round(dice, 9), "hd95_mm": hd95, "counts": counts}


def score(predicted, reference, spacing):
    found = {
        "predicted_ml": round(volume_ml(predicted, spacing), 9),
        "reference_ml": round(volume_ml(reference, spacing), 9),
        "lesions": lesion_wise(predicted, reference, spacing),
    }
    if predicted.any() and reference.any():
        hd = hausdorff(predicted, reference, spacing)
        if predicted.shape[2] > 1:
            other = medpy.metric.hd(predicted, reference, voxelspacing=spacing)
            assert abs(hd - other) < 1e-4, (hd, other)
        masks = predicted, reference, spacing
        nsd = [surface_dice(*masks, mm) for mm in TOLERANCES_MM]
        by_area = [areas_nsd(*masks, mm) for mm in TOLERANCES_MM]
        found |= {
            "dice": round(overlap(predicted, reference), 9),
            "hd_mm": round(hd, 6),
            "voxels": {"hd95_mm": round(hausdorff(*masks, 95), 6), "nsd": [round(x, 7) for x in nsd]},
            "areas": {"hd95_mm": round(areas_hd95(*masks), 6), "nsd": [round(x, 7) for x in by_area]},
        }
    return found


def tumor(center, radius, moved=(0, 0, 0), thinner=0):
    """Edema around a rim around a core."""
    i, j, k = (c + m for c, m in zip(center, moved))
    return [
        [code, i, j, k, *(max(r - less - thinner, 0) for r in radius)]
        for code, less in ((2, 0), (3, 2), (1, 4))
    ]


def specks(generator, dims, number, radius):
    def place(axis):
        return generator.randrange(dims[axis])

    return [
        [generator.randint(1, 3), place(0), place(1), place(2)]
        + [generator.randint(0, radius) for _ in range(3)]
        for _ in range(number)
    ]


def cases():
    generator = random.Random(4)
    one, thick, oblong = (1.0, 1.0, 1.0), (0.7, 1.1, 3.0), (1.5, 0.8, 0.9)
    yield "moved", (28, 24, 20), one, tumor((12, 12, 9), (8, 7, 6), (2, 1, 0)), tumor((12, 12, 9), (8, 7, 6))
    yield "thick slices", (36, 30, 12), thick, tumor((17, 15, 6), (12, 9, 4), (1, -2, 1), 1), tumor((17, 15, 6), (12, 9, 5))
    yield "at the border", (20, 20, 16), oblong, tumor((1, 18, 2), (7, 6, 6)), tumor((3, 19, 0), (8, 6, 7))
    yield "a far voxel", (40, 32, 24), one, tumor((9, 9, 9), (7, 7, 7)) + [[3, 39, 31, 23, 0, 0, 0]], tumor((9, 10, 9), (7, 7, 7))
    yield "nested", (24, 24, 24), one, [[1, 12, 12, 12, 3, 3, 3]], [[1, 12, 12, 12, 9, 9, 9]]
    yield "a full volume", (12, 10, 8), oblong, [[3, 6, 5, 4, 40, 40, 40]], [[3, 2, 2, 2, 3, 3, 3]]
    yield "a slice", (32, 28, 1), oblong, tumor((14, 14, 0), (10, 9, 0), (2, -1, 0)), tumor((14, 14, 0), (10, 9, 0))
    yield "nothing predicted", (16, 16, 12), one, [], tumor((8, 8, 6), (5, 5, 4))
    yield "nothing there", (16, 16, 12), one, tumor((8, 8, 6), (5, 5, 4)), []
    yield "only edema there", (16, 16, 12), thick, [[2, 8, 8, 6, 4, 4, 2]], [[2, 7, 8, 5, 4, 4, 3]]
    # Found, missed, split into two, small, two that dilation joins, a false positive beside them.
    reference = [[3, 6, 6, 6, 3, 3, 3], [3, 30, 6, 6, 3, 3, 3], [1, 6, 28, 8, 5, 4, 4], [3, 30, 30, 6, 1, 1, 1],
                 [3, 18, 16, 16, 3, 2, 2], [3, 27, 17, 16, 2, 2, 2]]
    predicted = [[3, 7, 6, 6, 3, 3, 3], [1, 3, 28, 8, 2, 3, 3], [1, 9, 28, 8, 2, 3, 3], [3, 32, 30, 6, 1, 1, 1],
                 [3, 19, 16, 16, 3, 2, 2], [2, 36, 36, 18, 2, 2, 1], [3, 18, 6, 18, 1, 0, 0]]
    yield "many lesions", (40, 40, 22), one, predicted, reference
    yield "many lesions, thick slices", (40, 40, 22), thick, predicted, reference
    yield "many lesions, thin slices", (40, 40, 22), (0.6, 0.6, 0.9), predicted, reference
    for number, spacing in ((12, one), (40, oblong)):
        dims = (30, 26, 18)
        yield f"{number} specks", dims, spacing, specks(generator, dims, number, 3), specks(generator, dims, number, 3)
    # Nearly every way in which eight voxels can be in a mask.
    dims = (9, 8, 9)
    yield "noise", dims, thick, specks(generator, dims, 260, 0), specks(generator, dims, 260, 0)


def main():
    lines = []
    for name, dims, spacing, predicted, reference in cases():
        maps = [draw(dims, shapes) for shapes in (predicted, reference)]
        scores = []
        for codes in REGIONS:
            masks = [np.isin(labels, codes) for labels in maps]
            scores.append({"codes": codes} | score(*masks, spacing))
        case = {"name": name, "dims": dims, "spacing_mm": spacing}
        case |= {"predicted": predicted, "reference": reference, "scores": scores}
        lines.append(json.dumps(case))
    head = {"tolerances_mm": TOLERANCES_MM}
    sys.stdout.write(json.dumps(head)[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


main()
