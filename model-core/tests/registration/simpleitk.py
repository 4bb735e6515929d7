"""Registers the pairs that the example `registration_error` writes, with SimpleITK.

    pip install SimpleITK numpy
    cargo run -p model-core --example registration_error -- tumor 40 FOLDER
    python3 model-core/tests/registration/simpleitk.py FOLDER

Mattes mutual information with 32 bins, three resolutions, regular-step gradient descent: the
settings of SimpleITK's own notebook on multi-modal registration, on one thread.
"""

import json
import pathlib
import resource
import sys

import numpy as np
import SimpleITK as sitk

# NIfTI is RAS+, ITK is LPS+.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def user_secs():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def register(fixed, moving):
    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        sitk.Euler3DTransform(),
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=300, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


def matrix(transform):
    """Returns the 4 x 4 matrix of a rigid transform, in RAS+ millimeters."""
    while transform.GetName() == "CompositeTransform":
        transform = sitk.CompositeTransform(transform).GetNthTransform(0)
    at = lambda point: np.array(transform.TransformPoint([float(x) for x in point]))
    origin = at([0, 0, 0])
    lps = np.eye(4)
    lps[:3, :3] = np.stack([at(axis) - origin for axis in np.eye(3)], axis=1)
    lps[:3, 3] = origin
    return LPS_FROM_RAS @ lps @ LPS_FROM_RAS


def head(image):
    """Returns places in the head, as `pairs::head` of the Rust test."""
    values = sitk.GetArrayFromImage(image)
    maximum = np.sort(values[values > 0])[np.count_nonzero(values > 0) * 99 // 100]
    k, j, i = np.nonzero(values[::2, ::2, ::2] > 0.1 * maximum)
    columns = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps = 2 * np.stack([i, j, k], axis=1) @ columns.T + np.array(image.GetOrigin())
    return lps * [-1, -1, 1]


def main():
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    errors, seconds = [], []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        truth = np.vstack([json.loads(path.read_text()), [0, 0, 0, 1]])
        fixed, moving = (
            sitk.ReadImage(str(path.with_name(f"{path.stem}_{scan}.nii.gz")), sitk.sitkFloat32)
            for scan in ("reference", "moving")
        )
        begin = user_secs()
        found = matrix(register(fixed, moving))
        seconds.append(user_secs() - begin)
        places = head(fixed)
        difference = (found - truth)[:3]
        distances = np.linalg.norm(places @ difference[:, :3].T + difference[:, 3], axis=1)
        errors.append(distances.mean())
        print(f"{path.stem:<12} {errors[-1]:7.3f} mm, {seconds[-1]:6.2f} s", flush=True)
    good = sum(error < 0.5 for error in errors)
    print(
        f"{good} of {len(errors)} below 0.5 mm; mean {np.mean(errors):.3f}, median "
        f"{np.median(errors):.3f}, worst {max(errors):.3f} mm; {np.mean(seconds):.2f} s"
    )


if __name__ == "__main__":
    main()
