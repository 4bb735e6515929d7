"""Opens written segmentations with other programs, and compares each voxel and its position.

    pip install -r tests/peers/segmentations.txt
    cargo build -p model-core --example write_segmentation
    python tests/peers/segmentations.py WRITE_SEGMENTATION STUDY [DCIODVFY]

WRITE_SEGMENTATION is the built example, STUDY a folder of DICOM files with one folder for each series.
SimpleITK reads each series, thresholds make a label map of nested regions on its grid, and the example
writes it in DICOM and for 3D Slicer. A second part compares the geometry of `.seg.nrrd` on grids that
are oblique, flipped and not isotropic with the NIfTI file of the same map.

The files are opened with pydicom, highdicom, pydicom-seg, dcmqi, pynrrd, slicerio and SimpleITK. They
are checked by dicom-validator, which downloads the standard at its first run, and by dciodvfy of
dicom3tools (`apt-get install dicom3tools`), if its path is given.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom
import nrrd
import numpy as np
import pydicom
import SimpleITK as sitk
import slicerio

TASK = "brats2021"
REGIONS = {"whole tumor": [1, 2, 4], "tumor core": [1, 4], "enhancing tumor": [4]}
DISCLAIMER = "Research use only, not a medical device"
# NIfTI stores its affine in f32, a decimal string of DICOM has at most 16 characters.
TOLERANCE_MM = 1e-3


def read_series(folder):
    """Reads a series with SimpleITK. Returns the image and its files, in the order of the slices."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.ReadImage(files), files


def threshold(image):
    """Labels the brightest voxels as nested regions, without those of the first slices."""
    voxels = sitk.GetArrayFromImage(image).astype(float)
    bounds = np.percentile(voxels, [92, 96, 99])
    labels = np.array([0, 2, 1, 4], np.uint8)[np.searchsorted(bounds, voxels)]
    labels[: len(labels) // 5] = 0
    return labels


def write_small_series(files, folder):
    """Writes a part of a series, turned in space: its slices have an odd number of voxels."""
    a, b = np.cos(0.4), np.sin(0.4)
    turn = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, a, -b], [0, b, a]])
    folder.mkdir()
    for n, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[100:137, 120:171]
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        directions = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3) @ turn.T
        position = turn @ np.array(dataset.ImagePositionPatient, float)
        dataset.ImageOrientationPatient = [f"{x:.12f}" for x in directions.flatten()]
        dataset.ImagePositionPatient = [f"{x:.10f}" for x in position]
        dataset.save_as(folder / f"{n}.dcm")
    return folder


def write_nifti(labels, image, path):
    map_image = sitk.GetImageFromArray(labels)
    map_image.CopyInformation(image)
    sitk.WriteImage(map_image, str(path))


def lps_from_index(image):
    """Returns the 4 x 4 matrix from (i, j, k) to LPS of a SimpleITK image."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def check(condition, what):
    assert condition, what


def check_nrrd(path, labels, image):
    """Compares a .seg.nrrd with a map: pynrrd's voxels, slicerio's segments, SimpleITK's geometry."""
    voxels, header = nrrd.read(str(path))
    check(DISCLAIMER in path.read_bytes()[:200].decode(), "the disclaimer is in the header")
    check(header["Disclaimer"] == DISCLAIMER, "the disclaimer is a key")
    check(voxels.dtype == np.uint8 and header["encoding"] == "gzip", "gzip and uint8")
    check(header["kinds"] == ["list", "domain", "domain", "domain"], header["kinds"])
    read = slicerio.read_segmentation(str(path))
    check([s["name"] for s in read["segments"]] == list(REGIONS), "names")
    difference = np.abs(read["ijkToLPS"] - lps_from_index(image)).max()
    check(difference < TOLERANCE_MM, f"slicerio's geometry differs by {difference} mm")
    for segment in read["segments"]:
        expected = np.isin(labels, REGIONS[segment["name"]]).transpose()
        found = voxels[segment["layer"]] == segment["labelValue"]
        check(np.array_equal(found, expected), f"voxels of {segment['name']}")
        extent = segment["extent"]
        if extent[1] >= 0:
            box = tuple(slice(extent[2 * n], extent[2 * n + 1] + 1) for n in range(3))
            inside = np.zeros_like(expected)
            inside[box] = True
            check(not (expected & ~inside).any(), f"the extent of {segment['name']}")
        check(segment["terminology"]["type"][0] in ("SCT", "NCIt"), "a coded type")
        alone = slicerio.extract_segments(read, [(segment["name"], 1)])
        check(np.array_equal(alone["voxels"] == 1, expected), "slicerio extracts the segment")
    # ITK reads the list as a vector of components.
    itk = sitk.ReadImage(str(path))
    difference = np.abs(lps_from_index(itk) - lps_from_index(image)).max()
    check(difference < TOLERANCE_MM, f"SimpleITK's geometry differs by {difference} mm")
    return difference


def check_dicom(path, labels, image, files):
    """Compares a DICOM segmentation with a map, voxel by voxel, and its references with the series."""
    first = pydicom.dcmread(files[0])
    instances = [pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in files]
    dataset = pydicom.dcmread(path)
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        check(getattr(dataset, name) == getattr(first, name), name)
    check(dataset.SeriesInstanceUID != first.SeriesInstanceUID, "a new series")
    check(dataset.ContentDescription == DISCLAIMER, "the disclaimer")

    # pydicom's frames, at the positions that they state.
    frames = dataset.pixel_array.astype(bool)
    index_from_lps = np.linalg.inv(lps_from_index(image))
    found = {name: np.zeros(labels.shape, bool) for name in REGIONS}
    largest_shift = 0.0
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence):
        position = [*map(float, groups.PlanePositionSequence[0].ImagePositionPatient), 1.0]
        index = index_from_lps @ position
        k = round(index[2])
        shift = np.abs(lps_from_index(image) @ [0, 0, k, 1] - position).max()
        largest_shift = max(largest_shift, shift)
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        check(source.ReferencedSOPInstanceUID == instances[k], "the slice's instance")
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[dataset.SegmentSequence[number - 1].SegmentLabel][k] = frame
    check(largest_shift < TOLERANCE_MM, f"positions differ by {largest_shift} mm")
    for name, codes in REGIONS.items():
        check(np.array_equal(found[name], np.isin(labels, codes)), f"pydicom's voxels of {name}")
    num_expected = sum(np.isin(labels, c).any(axis=(1, 2)).sum() for c in REGIONS.values())
    check(len(frames) == num_expected, "only frames with voxels")

    # highdicom finds the frames by their references, and by their geometry.
    segmentation = highdicom.seg.segread(str(path))
    numbers = [segmentation.get_segment_numbers(segment_label=name)[0] for name in REGIONS]
    by_instance = segmentation.get_pixels_by_source_instance(
        instances, segment_numbers=numbers, assert_missing_frames_are_empty=True)
    volume = segmentation.get_volume(segment_numbers=numbers, allow_missing_positions=True)
    # highdicom's volume ends at the last frames with voxels, and may count the slices downwards.
    index_from_volume = index_from_lps[[2, 1, 0, 3]] @ volume.affine
    step, offset = round(index_from_volume[0, 0]), round(index_from_volume[0, 3])
    expected = np.eye(4)
    expected[0, 0], expected[0, 3] = step, offset
    check(np.abs(index_from_volume - expected).max() < 1e-3 and abs(step) == 1, "highdicom's geometry")
    slices = [offset + step * n for n in range(volume.shape[0])]
    for n, (name, codes) in enumerate(REGIONS.items()):
        expected = np.isin(labels, codes)
        check(np.array_equal(by_instance[..., n] > 0, expected), f"highdicom's voxels of {name}")
        check(np.array_equal(volume.array[..., n] > 0, expected[slices]), f"highdicom's {name}")
        check(expected[slices].sum() == expected.sum(), "no voxel outside of highdicom's volume")
    return len(frames), largest_shift


def check_image(voxels, image, labels, name, source):
    """Compares a segment, as a SimpleITK image of a part of the slices, with a map."""
    index_from_image = np.linalg.inv(lps_from_index(source)) @ lps_from_index(image)
    first, step = round(index_from_image[2, 3]), round(index_from_image[2, 2])
    expected = np.eye(4)
    expected[2, 2:] = step, first
    check(np.abs(index_from_image - expected).max() < 1e-3 and abs(step) == 1, "the geometry")
    slices = [first + step * n for n in range(len(voxels))]
    expected = np.isin(labels, REGIONS[name])
    check(np.array_equal(voxels, expected[slices]), f"the voxels of {name}")
    check(expected[slices].sum() == expected.sum(), f"all voxels of {name}")


def check_pydicom_seg(path, labels, source):
    # It imports a private module of pydicom 2, whose names are public in pydicom 3.
    sys.modules["pydicom._storage_sopclass_uids"] = pydicom.uid
    import pydicom_seg

    result = pydicom_seg.SegmentReader().read(pydicom.dcmread(path))
    check(len(result.segment_infos) == len(REGIONS), "all segments")
    for number, info in result.segment_infos.items():
        segment = result.segment_image(number)
        voxels = sitk.GetArrayFromImage(segment) > 0
        check_image(voxels, segment, labels, info.SegmentLabel, source)


def check_dcmqi(path, labels, source, folder):
    """Compares with dcmqi, by which 3D Slicer reads segmentations in DICOM."""
    program = Path(sys.executable).with_name("segimage2itkimage")
    command = [program, "-t", "nifti", "-p", "dcmqi", "--outputDirectory", folder]
    report = subprocess.run([*command, "--inputDICOM", path], capture_output=True, text=True)
    check(report.returncode == 0, report.stdout + report.stderr)
    groups = json.loads((folder / "dcmqi-meta.json").read_text())["segmentAttributes"]
    names = []
    for n, [segment] in enumerate(groups):
        image = sitk.ReadImage(folder / f"dcmqi-{n + 1}.nii.gz")
        voxels = sitk.GetArrayFromImage(image) == segment["labelID"]
        check_image(voxels, image, labels, segment["SegmentLabel"], source)
        names.append(segment["SegmentLabel"])
    check(names == list(REGIONS), names)
    colors = [segment["recommendedDisplayRGBValue"] for [segment] in groups]
    return colors


def validate(path, dciodvfy):
    """Checks with dicom-validator, if it has the standard, and with dciodvfy."""
    command = [sys.executable, "-m", "dicom_validator.validate_iods", str(path)]
    report = subprocess.run(command, capture_output=True, text=True)
    report = (report.stdout + report.stderr).strip()
    if "Failed to get DICOM editions" in report:
        print("  dicom-validator: skipped: it cannot download the standard")
    else:
        print("  dicom-validator:", report[-600:])
    if dciodvfy:
        report = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True)
        lines = [line for line in report.stderr.splitlines() if line]
        check(lines == ["Segmentation"], "dciodvfy: " + "; ".join(lines))
        print("  dciodvfy: no errors and no warnings")


def grids():
    """Yields names and images of grids that differ from an ordinary one."""
    def rotation(degrees):
        a, b, c = np.radians(degrees)
        x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        return x @ y @ z

    for name, spacing, direction in [
        ("isotropic", (1, 1, 1), np.eye(3)),
        ("not isotropic", (0.43, 1.7, 5.5), np.eye(3)),
        ("oblique", (0.9, 0.9, 3.2), rotation((17, -31, 8))),
        ("flipped", (1, 1.2, 2), np.diag([-1, 1, -1])),
        ("left-handed", (1, 1.2, 2), np.diag([1, 1, -1])),
        ("sagittal and oblique", (1, 0.8, 4), rotation((80, 12, 95))),
    ]:
        image = sitk.Image(23, 19, 7, sitk.sitkUInt8)
        image.SetSpacing([float(s) for s in spacing])
        image.SetDirection(direction.flatten().tolist())
        image.SetOrigin((-71.25, 33.5, 104.125))
        yield name, image


def main():
    program, study = sys.argv[1], Path(sys.argv[2])
    dciodvfy = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        nifti, slicer, dicom = folder / "map.nii.gz", folder / "map.seg.nrrd", folder / "map.dcm"
        for name, image in grids():
            labels = np.random.default_rng(1).choice(np.array([0, 1, 2, 4], np.uint8), (7, 19, 23))
            write_nifti(labels, image, nifti)
            subprocess.run([program, nifti, TASK, slicer], check=True)
            own_nifti = folder / "own.nii.gz"
            subprocess.run([program, nifti, TASK, own_nifti], check=True)
            own = sitk.ReadImage(own_nifti)
            check(np.array_equal(sitk.GetArrayFromImage(own), labels), "the map's own NIfTI")
            check_nrrd(slicer, labels, own)
            print(f"{name}: .seg.nrrd, geometry within {check_nrrd(slicer, labels, image):.1e} mm")
        all_series = sorted(path for path in study.iterdir() if path.is_dir())
        small = write_small_series(read_series(all_series[0])[1], folder / "small and oblique")
        for series in [*all_series, small]:
            image, files = read_series(series)
            labels = threshold(image)
            write_nifti(labels, image, nifti)
            subprocess.run([program, nifti, TASK, slicer], check=True)
            check_nrrd(slicer, labels, image)
            subprocess.run([program, nifti, TASK, dicom, series], check=True)
            num_frames, shift = check_dicom(dicom, labels, image, files)
            print(f"{series.name}: {image.GetSize()}, {num_frames} frames, within {shift:.1e} mm: same")
            check_pydicom_seg(dicom, labels, image)
            print("  pydicom-seg: same")
            print("  dcmqi: same, with the colors", check_dcmqi(dicom, labels, image, folder))
            validate(dicom, dciodvfy)
            size = dicom.stat().st_size, slicer.stat().st_size, nifti.stat().st_size
            print("  bytes:", json.dumps(dict(zip(("dicom", "seg.nrrd", "nifti"), size))))


if __name__ == "__main__":
    main()
