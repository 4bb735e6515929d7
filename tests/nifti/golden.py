"""Writes golden.json: what nibabel and SimpleITK make of NIfTI headers with damaged or missing fields.

    pip install nibabel==5.4.2 SimpleITK==2.5.7 numpy && python golden.py

nibabel is the judge. Where it refuses a header, or finds an affine that cannot be inverted, SimpleITK
is; units of length other than millimeters are SimpleITK's too, since nibabel leaves them to its caller.
"""

import gzip
import json
import os
import struct
import tempfile
import warnings

import nibabel
import numpy as np
import SimpleITK as sitk

warnings.filterwarnings("ignore")
nibabel.imageglobals.logger.setLevel(60)
sitk.ProcessObject.SetGlobalWarningDisplay(False)

VOXELS = np.arange(120, dtype="<i2").tobytes()
FIELDS = {
    "dim": (40, "8h"), "bitpix": (72, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f"),
    "slope": (112, "f"), "inter": (116, "f"), "units": (123, "B"), "qform_code": (252, "h"),
    "sform_code": (254, "h"), "quatern": (256, "3f"), "qoffset": (268, "3f"), "srow_x": (280, "4f"),
    "srow_y": (296, "4f"), "srow_z": (312, "4f"), "magic": (344, "4s"),
}
NAN, INF = float("nan"), float("inf")
QFORM = dict(qform_code=1, quatern=(0, 0, 0.6), qoffset=(7, 8, 9))
SFORM = dict(sform_code=1, srow_x=(1, 0, 0, 7), srow_y=(0, 2, 0, 8), srow_z=(0, 0, 3, 9))
ZERO = dict(sform_code=1, srow_x=(0,) * 4, srow_y=(0,) * 4, srow_z=(0,) * 4)


def header(**changes):
    fields = dict(dim=(3, 4, 5, 6, 1, 1, 1, 1), bitpix=16, pixdim=(1, 1, 2, 3, 1, 1, 1, 1),
                  vox_offset=352, slope=1, inter=0, units=2, magic=b"n+1\0")
    fields.update(changes)
    out = bytearray(352)
    struct.pack_into("<i", out, 0, 348)
    struct.pack_into("<h", out, 70, 4)
    for name, value in fields.items():
        at, form = FIELDS[name]
        struct.pack_into("<" + form, out, at, *(value if isinstance(value, tuple) else (value,)))
    return bytes(out)


HEADERS = {
    "both codes 0": header(),
    "both codes 0, a quaternion that means nothing": header(quatern=(0, 0, 1), qoffset=(7, 8, 9)),
    "a negative sform code": header(**{**SFORM, "sform_code": -1}),
    "both codes 0, spacing 0": header(pixdim=(1, 0, 2, 3, 1, 1, 1, 1)),
    "qform": header(**QFORM),
    "qfac -1": header(**QFORM, pixdim=(-1, 1, 2, 3, 1, 1, 1, 1)),
    "qfac 0": header(**QFORM, pixdim=(0, 1, 2, 3, 1, 1, 1, 1)),
    "qfac NaN": header(**QFORM, pixdim=(NAN, 1, 2, 3, 1, 1, 1, 1)),
    "qform, spacing 0": header(**QFORM, pixdim=(1, 0, 2, 3, 1, 1, 1, 1)),
    "sform": header(**SFORM),
    "sform, spacing 0": header(**SFORM, pixdim=(1, 0, 2, 3, 1, 1, 1, 1)),
    "sform, spacing NaN": header(**SFORM, pixdim=(1, NAN, 2, 3, 1, 1, 1, 1)),
    "sform of zeros, qform": header(**ZERO, **QFORM),
    "sform, bad qform": header(**SFORM, qform_code=1, quatern=(1, 1, 1)),
    "sform, qform NaN": header(**SFORM, qform_code=1, quatern=(NAN, 0, 0)),
    "sform twice as large as the spacing": header(**{**SFORM, "srow_x": (2, 0, 0, 7),
                                                     "srow_y": (0, 4, 0, 8), "srow_z": (0, 0, 6, 9)}),
    "sheared sform": header(**{**SFORM, "srow_x": (1, 0.3, 0, 7)}),
    "slope NaN": header(**SFORM, slope=NAN, inter=NAN),
    "slope infinite": header(**SFORM, slope=-INF),
    "slope NaN, intercept 5": header(**SFORM, slope=NAN, inter=5),
    "slope 0, intercept 5": header(**SFORM, slope=0, inter=5),
    "slope 2, intercept NaN": header(**SFORM, slope=2, inter=NAN),
    "slope 2, intercept infinite": header(**SFORM, slope=2, inter=INF),
    "one slice": header(**SFORM, dim=(3, 4, 5, 1, 1, 1, 1, 1)),
    "a 2-D file": header(**SFORM, dim=(2, 4, 5, 1, 1, 1, 1, 1)),
    "a 2-D file of zeros behind": header(**SFORM, dim=(2, 4, 5, 0, 0, 0, 0, 0),
                                         pixdim=(1, 1, 2, 0, 0, 0, 0, 0)),
    "3 axes, the last 0": header(**SFORM, dim=(3, 4, 5, 0, 0, 0, 0, 0)),
    "4 axes, the last 0": header(**SFORM, dim=(4, 4, 5, 6, 0, 0, 0, 0)),
    "7 axes, 4 of them 0": header(**SFORM, dim=(7, 4, 5, 6, 0, 0, 0, 0)),
    "4 axes, the last negative": header(**SFORM, dim=(4, 4, 5, 6, -1, 0, 0, 0)),
    "bitpix 8": header(**SFORM, bitpix=8),
    "bitpix 0": header(**SFORM, bitpix=0),
    "a pair's signature": header(**SFORM, magic=b"ni1\0"),
    "an offset with a fraction": header(**SFORM, vox_offset=352.5),
    "meters": header(**SFORM, units=1),
    "micrometers": header(**{**SFORM, "srow_x": (1000, 0, 0, 7), "srow_y": (0, 2000, 0, 8),
                             "srow_z": (0, 0, 3000, 9)}, units=3, pixdim=(1, 1e3, 2e3, 3e3, 1, 1, 1, 1)),
}
BEHIND = {
    "zeros behind the voxels": (False, bytes(3_000_000)),
    "zeros behind the gzip stream": (True, bytes(100)),
    "text behind the gzip stream": (True, b"hello world"),
    "an empty member behind the gzip stream": (True, gzip.compress(b"", mtime=0)),
}


def by_nibabel(file):
    image = nibabel.load(file)
    voxels = np.asanyarray(image.dataobj)
    rows = image.affine[:3]
    if not np.isfinite(rows).all() or abs(np.linalg.det(rows[:, :3])) < 1e-9:
        raise ValueError("no affine")
    return rows.tolist(), float(voxels.ravel(order="F")[1])


def by_itk(file):
    image = sitk.ReadImage(file)
    n = image.GetDimension()
    direction = np.eye(3)
    direction[:n, :n] = np.array(image.GetDirection()).reshape(n, n)
    spacing, origin = np.ones(3), np.zeros(3)
    spacing[:n], origin[:n] = image.GetSpacing(), image.GetOrigin()
    rows = np.hstack([direction * spacing, origin[:, None]])
    rows[:2] *= -1  # from LPS to RAS
    return rows.tolist(), float(sitk.GetArrayFromImage(image).ravel()[1])


def judged(name, file):
    if "meters" not in name:
        try:
            return "nibabel", *by_nibabel(file)
        except Exception:
            pass
    return "SimpleITK", *by_itk(file)


def main():
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        def add(name, head, packed=False, behind=b""):
            file = os.path.join(folder, "scan.nii.gz" if packed else "scan.nii")
            plain = head + VOXELS
            with open(file, "wb") as out:
                out.write((gzip.compress(plain, mtime=0) if packed else plain) + behind)
            judge, rows, second = judged(name, file)
            cases.append({"name": name, "header": head.hex(), "gzip": packed,
                          "behind": len(behind) if not any(behind) else behind.hex(),
                          "judge": judge, "world_from_voxel": rows, "second_voxel": second})
        for name, head in HEADERS.items():
            add(name, head)
        for name, (packed, behind) in BEHIND.items():
            add(name, header(**SFORM), packed, behind)
    lines = ",\n".join(json.dumps(case) for case in cases)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as out:
        out.write(f"[\n{lines}\n]\n")


main()
