"""Compares masks of the brain with references: those of this project's network, of BET and of median_otsu.

Usage: python3 judge.py EXTRACT_BRAIN MODEL HEADS [COLIN] > judged.csv

EXTRACT_BRAIN is the built example of model-core, MODEL a bundle. HEADS is a folder that
`rewind phantom --heads-around` wrote. COLIN is a folder with ch2.nii.gz (the head of Colin Holmes),
ch2better.nii.gz and ch2bet.nii.gz (its brain twice), as mricron installs them. Needs nibabel, numpy,
scipy, dipy (median_otsu) and brainextractor (an implementation of BET). Both are left out with
--only-network. Prints one line for each head and method, then a summary to stderr.
"""

import argparse
import collections
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import time

import nibabel
import numpy
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    distance_transform_edt,
    map_coordinates,
)


def network(arguments, path):
    with tempfile.TemporaryDirectory() as folder:
        mask = pathlib.Path(folder) / "mask.nii.gz"
        command = [arguments.extract_brain, arguments.model, mask, path]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return numpy.asanyarray(nibabel.load(mask).dataobj) > 0


def bet(path):
    import brainextractor

    # Its default settings, and a scan in the order that it expects.
    image = nibabel.load(path)
    canonical = nibabel.as_closest_canonical(image)
    with contextlib.redirect_stdout(io.StringIO()):
        extractor = brainextractor.BrainExtractor(img=canonical)
        extractor.run()
        mask = numpy.asanyarray(extractor.compute_mask()) > 0
    back = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(canonical.affine), nibabel.io_orientation(image.affine)
    )
    return nibabel.orientations.apply_orientation(mask.astype("uint8"), back) > 0


def median_otsu(path):
    from dipy.segment.mask import median_otsu as otsu

    values = numpy.asanyarray(nibabel.load(path).dataobj).astype(float)
    return otsu(values, median_radius=2, numpass=1)[1]


def dice(mask, reference):
    return 2 * (mask & reference).sum() / max(mask.sum() + reference.sum(), 1)


def hd95_mm(mask, reference, spacing):
    """The larger of both 95th percentiles of the distances between surfaces."""
    if not mask.any():
        return float("inf")
    surfaces = [m & ~binary_erosion(m) for m in (mask, reference)]
    distances = [distance_transform_edt(~s, spacing) for s in surfaces]
    return max(numpy.percentile(distances[1 - n][surfaces[n]], 95) for n in (0, 1))


def closed(mask, radius):
    """Closes sulci and ventricles: a mask of tissue becomes one of the brain."""
    padded = numpy.pad(mask, radius + 1)
    grown = distance_transform_edt(~padded) <= radius
    shrunk = distance_transform_edt(grown) > radius
    inner = (slice(radius + 1, -radius - 1),) * 3
    return binary_fill_holes(shrunk[inner] | mask)


def on_grid(path, like):
    """Whether a scan is above 0 at the voxels of another one."""
    image, like = nibabel.load(path), nibabel.load(like)
    values = (numpy.asanyarray(image.dataobj) > 0).astype(numpy.float32)
    there = numpy.linalg.inv(image.affine) @ like.affine
    voxels = numpy.indices(like.shape).reshape(3, -1)
    found = there[:3, :3] @ voxels + there[:3, 3:]
    return map_coordinates(values, found, order=1).reshape(like.shape) > 0.5


def cases(arguments, folder):
    """Yields name, group, scan and reference."""
    heads = pathlib.Path(arguments.heads)
    for scan in sorted((heads / "imagesTr").glob("*.nii.gz")):
        reference = numpy.asanyarray(nibabel.load(heads / "labelsTr" / scan.name).dataobj) > 0
        contrast = scan.name.removesuffix(".nii.gz").split("_head_")[1].split("_", 1)[1]
        yield scan.name, "stripped" if "stripped" in contrast else contrast, scan, reference
    if arguments.colin is None:
        return
    colin = pathlib.Path(arguments.colin)
    scan = colin / "ch2.nii.gz"
    image = nibabel.load(scan)
    values = numpy.asanyarray(image.dataobj).astype(numpy.float32)
    inverted = pathlib.Path(folder) / "inverted.nii.gz"
    # Tissue is inverted, air stays dark.
    is_head = binary_dilation(values > 15)
    top = numpy.percentile(values[is_head], 99.5)
    values = numpy.where(is_head, numpy.clip(top - values, 0, None), values)
    nibabel.save(nibabel.Nifti1Image(values, image.affine), inverted)
    for name in ("ch2better", "ch2bet"):
        # The first is tissue without the fluid in sulci and ventricles.
        reference = closed(on_grid(colin / f"{name}.nii.gz", scan), 6)
        yield f"ch2 to {name}", f"ch2 to {name}", scan, reference
        yield f"inverted ch2 to {name}", f"inverted ch2 to {name}", inverted, reference


def main():
    parser = argparse.ArgumentParser()
    for name in ("extract_brain", "model", "heads"):
        parser.add_argument(name)
    parser.add_argument("colin", nargs="?")
    parser.add_argument("--only-network", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="judge every n-th head")
    arguments = parser.parse_args()
    methods = {"network": lambda path: network(arguments, path)}
    if not arguments.only_network:
        methods |= {"bet": bet, "median_otsu": median_otsu}
    results, masks = collections.defaultdict(list), {}
    print("head,method,dice,hd95_mm,lost,volume_ml,seconds")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, group, scan, reference) in enumerate(cases(arguments, folder)):
            if number % arguments.every != 0 and "ch2" not in name:
                continue
            spacing = nibabel.load(scan).header.get_zooms()[:3]
            for method, run in methods.items():
                if (method, scan) not in masks:
                    start = time.time()
                    try:
                        mask = run(scan)
                    except Exception as error:  # A method that gives up has no mask.
                        print(f"{method} on {name}: {error}", file=sys.stderr)
                        mask = numpy.zeros_like(reference)
                    masks[method, scan] = mask, time.time() - start
                mask, seconds = masks[method, scan]
                lost = (reference & ~mask).sum() / max(reference.sum(), 1)
                numbers = [dice(mask, reference), hd95_mm(mask, reference, spacing), lost]
                volume = mask.sum() * numpy.prod(spacing) / 1000
                columns = "{:.4f},{:.1f},{:.4f}".format(*numbers)
                print(f"{name},{method},{columns},{volume:.0f},{seconds:.1f}", flush=True)
                results[group, method].append(numbers)
                if "ch2" not in name:
                    results["all heads", method].append(numbers)
    for (group, method), numbers in sorted(results.items()):
        overlap, distance, lost = numpy.array(numbers).T
        print(
            f"{group}, {method}: Dice {overlap.mean():.3f} (least {overlap.min():.3f}), "
            f"HD95 {distance.mean():.1f} mm (most {distance.max():.1f}), "
            f"brain lost {100 * lost.mean():.1f} % (most {100 * lost.max():.1f}), n = {len(numbers)}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
