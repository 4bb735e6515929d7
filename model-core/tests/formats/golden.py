"""Writes golden.json: files of a small phantom in the encodings of DICOM and in other formats, and what
pydicom, imagecodecs, SimpleITK and nibabel read in them.

    pip install pydicom==3.0.2 imagecodecs==2026.3.6 pylibjpeg-rle==2.2.0 SimpleITK==2.5.7 \
        nibabel==5.4.2 numpy && python golden.py

`python golden.py 200` makes larger files in a folder `golden_200` beside golden.json, which is not kept.
"""

import base64
import gzip
import io
import json
import os
import sys
import tempfile
import zlib

import imagecodecs
import nibabel
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian,
                         ImplicitVRLittleEndian, RLELossless, UID)

ROWS, COLUMNS = (15, 11) if len(sys.argv) == 1 else (int(sys.argv[1]), int(sys.argv[1]) - 11)


def text(data):
    """Bytes, packed by zlib, in base64."""
    return base64.b64encode(zlib.compress(bytes(data), 9)).decode()


def phantom(bits):
    """A disk on a flat ground, with a gradient and noise: runs and edges for every predictor."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    inside = (y - ROWS / 2) ** 2 + (x - COLUMNS / 2) ** 2 < (0.4 * COLUMNS) ** 2
    noise = (x * 7919 + y * 104729 + x * y * 31) % 97
    values = np.where(inside, 1500 + 40 * y + 11 * x + noise, 3)
    highest = (1 << bits) - 1
    return np.minimum(values * highest // (3000 + 40 * ROWS), highest).astype("u2" if bits > 8 else "u1")


def data_set(pixels, bits, signed=False):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3", "1.2.3.1"
    ds.Modality = "MR"
    ds.PatientID = "phantom"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = ROWS, COLUMNS, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-10, -20, 30], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], 4
    ds.RescaleSlope, ds.RescaleIntercept = "0.5", "-3"
    return ds


def stored(ds, syntax):
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def plain(pixels, bits, syntax, signed=False):
    ds = data_set(pixels, bits, signed)
    big = syntax == ExplicitVRBigEndian
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds["PixelData"].VR = "OW"
    return stored(ds, syntax)


def wrapped(pixels, bits, syntax, codestream, signed=False):
    ds = data_set(pixels, bits, signed)
    ds.PixelData = encapsulate([codestream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return stored(ds, "1.2.840.10008.1.2.4." + syntax)


def rle(pixels, bits, signed=False):
    ds = data_set(pixels, bits, signed)
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless, generate_instance_uid=False, encoding_plugin="pylibjpeg")
    return stored(ds, RLELossless)


def case(name, file, pixels, tolerance=0):
    """`tolerance` is in stored values: decoders of cosines and wavelets round differently."""
    pixels = text(np.asarray(pixels).astype("<i4").tobytes())
    # Pixels without loss are the same in many cases.
    number = PIXELS.setdefault(pixels, len(PIXELS))
    return dict(name=name, tolerance=tolerance, pixels=number, file=text(file))


PIXELS = {}


def dicom():
    u8, u12, u16 = phantom(8), phantom(12), phantom(16)
    s16 = (u16.astype(int) - 20000).clip(-32768, 32767).astype("i2")
    codec = imagecodecs
    yield case("implicit", plain(s16, 16, ImplicitVRLittleEndian, True), s16)
    yield case("explicit, 12 of 16 bits", plain(u12, 12, ExplicitVRLittleEndian), u12)
    yield case("big endian", plain(s16, 16, ExplicitVRBigEndian, True), s16)
    yield case("deflated", plain(s16, 16, DeflatedExplicitVRLittleEndian, True), s16)
    yield case("RLE, 8 bits", rle(u8, 8), u8)
    yield case("RLE, 16 bits", rle(s16, 16, True), s16)
    stream = codec.jpeg8_encode(u8, level=90)
    yield case("JPEG baseline", wrapped(u8, 8, "50", stream), codec.jpeg8_decode(stream), 1)
    stream = codec.jpeg8_encode(u12, level=90, bitspersample=12)
    yield case("JPEG extended", wrapped(u12, 12, "51", stream), codec.jpeg8_decode(stream), 1)
    for predictor in range(1, 8):
        stream = codec.jpeg8_encode(u12, lossless=True, predictor=predictor, bitspersample=12)
        syntax = "70" if predictor == 1 else "57"
        yield case(f"JPEG lossless, predictor {predictor}", wrapped(u12, 12, syntax, stream), u12)
    stream = codec.jpeg8_encode(u16, lossless=True, predictor=1, bitspersample=16)
    yield case("JPEG lossless, 16 bits signed",
               wrapped(u16, 16, "70", stream, True), u16.view("i2"))
    yield case("JPEG-LS, 8 bits", wrapped(u8, 8, "80", codec.jpegls_encode(u8)), u8)
    yield case("JPEG-LS, 12 bits", wrapped(u12, 12, "80", codec.jpegls_encode(u12)), u12)
    yield case("JPEG-LS, 16 bits", wrapped(u16, 16, "80", codec.jpegls_encode(u16)), u16)
    stream = codec.jpegls_encode(u12, level=5)
    yield case("JPEG-LS near-lossless", wrapped(u12, 12, "81", stream), codec.jpegls_decode(stream))
    whole = dict(codecformat="j2k", reversible=True, level=0)
    yield case("JPEG 2000, 8 bits", wrapped(u8, 8, "90", codec.jpeg2k_encode(u8, **whole)), u8)
    yield case("JPEG 2000, 12 bits",
               wrapped(u12, 12, "90", codec.jpeg2k_encode(u12, bitspersample=12, **whole)), u12)
    yield case("JPEG 2000, 16 bits signed",
               wrapped(s16, 16, "90", codec.jpeg2k_encode(s16, **whole), True), s16)
    stream = codec.jpeg2k_encode(u12, codecformat="j2k", level=55, bitspersample=12)
    yield case("JPEG 2000 lossy", wrapped(u12, 12, "91", stream), codec.jpeg2k_decode(stream), 1)
    yield case("HTJ2K, 8 bits", wrapped(u8, 8, "201", codec.htj2k_encode(u8, reversible=True)), u8)
    yield case("HTJ2K, 16 bits", wrapped(u16, 16, "201", codec.htj2k_encode(u16, reversible=True)), u16)
    yield case("HTJ2K, 16 bits signed",
               wrapped(s16, 16, "202", codec.htj2k_encode(s16, reversible=True), True), s16)
    # A step of quantization is below 1 here. The decoder takes the end of a step, and others its middle.
    stream = codec.htj2k_encode(u12, level=1e-5, reversible=False)
    yield case("HTJ2K lossy", wrapped(u12, 12, "203", stream), codec.htj2k_decode(stream), 1)


def scan(name, file, affine, volumes):
    """`volumes` have the axes channel, k, j, i."""
    return dict(name=name, file=text(file), affine=np.asarray(affine)[:3].tolist(),
                shape=list(np.asarray(volumes).shape),
                voxels=text(np.asarray(volumes).astype("<f8").tobytes()))


AFFINE = np.array([[0.1, -1.9, 0.4, 11], [1.2, 0.2, 0.3, -22], [-0.1, 0.5, 2.6, 33], [0, 0, 0, 1.0]])


def volume(dtype, shape=(4, 3, 2)):
    values = np.arange(np.prod(shape)).reshape(shape, order="F") * 3 - 40
    return (values + (0.25 if np.dtype(dtype).kind == "f" else 0)).astype(dtype)


def written(write, ending):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "scan" + ending)
        write(path)
        return open(path, "rb").read()


def mgh():
    for dtype in ("u1", "i2", "i4", "f4"):
        values = np.abs(volume(dtype).astype(float)).astype(dtype)
        image = nibabel.MGHImage(values, AFFINE)
        file = written(lambda path: nibabel.save(image, path), ".mgh")
        back = nibabel.MGHImage.from_bytes(file)
        yield scan(f"MGH of {dtype}", file, back.affine, np.asarray(back.dataobj).T[None])
    values = volume("f4", (4, 3, 2, 2))
    file = written(lambda path: nibabel.save(nibabel.MGHImage(values, AFFINE), path), ".mgh")
    back = nibabel.MGHImage.from_bytes(file)
    packed = gzip.compress(file, mtime=0)
    yield scan("MGZ with two frames", packed, back.affine, np.asarray(back.dataobj).T)


def ras(image):
    """The affine of a SimpleITK image, in RAS."""
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction, image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def nrrd():
    for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"):
        values = volume(dtype)
        if np.dtype(dtype).kind == "u":
            values = np.abs(volume("i4")).astype(dtype)
        image = sitk.GetImageFromArray(values.T)
        image.SetOrigin((3, -4, 5)), image.SetSpacing((0.5, 1.5, 2.5))
        image.SetDirection((0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1))
        file = written(lambda path: sitk.WriteImage(image, path, useCompression=dtype != "i2"), ".nrrd")
        yield scan(f"NRRD of {dtype}", file, ras(image), sitk.GetArrayFromImage(image)[None])
    header = ("NRRD0004\n# by hand\ntype: short\ndimension: 4\nspace: {space}\nsizes: 2 4 3 2\n"
              "space directions: none (0,2,0) (1.5,0,0) (0,0,3)\nspace origin: (1,2,3)\n"
              "kinds: vector domain domain domain\nendian: big\nencoding: {encoding}\n\n")
    values = np.stack([volume("i2"), volume("i2") + 1000])
    data = np.ascontiguousarray(values.transpose(3, 2, 1, 0)).astype(">i2").tobytes()
    packed = gzip.compress(data, mtime=0)
    for space, encoding, body in [("left-posterior-superior", "raw", data), ("LPS", "gzip", packed),
                                  ("right-anterior-superior", "gz", packed), ("LAS", "raw", data)]:
        file = header.format(space=space, encoding=encoding).encode() + body
        # SimpleITK refuses two vectors whose directions are "none" only for LAS: it knows no such space.
        signs = {"LAS": [-1, 1, 1], "right-anterior-superior": [1, 1, 1]}.get(space, [-1, -1, 1])
        affine = np.diag(signs + [1.0]) @ np.array(
            [[0, 1.5, 0, 1], [2, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
        if space != "LAS":
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "scan.nrrd")
                open(path, "wb").write(file)
                image = sitk.ReadImage(path)
                assert np.allclose(ras(image), affine), (ras(image), affine)
                assert (sitk.GetArrayFromImage(image) == values.transpose(3, 2, 1, 0)).all()
        yield scan(f"NRRD of two channels, {space}, {encoding}", file, affine, values.transpose(0, 3, 2, 1))


def analyze():
    image = nibabel.AnalyzeImage(volume("i2"), np.diag([-2, 3, 4, 1.0]))
    maps = nibabel.AnalyzeImage.make_file_map()
    for name in maps:
        maps[name].fileobj = io.BytesIO()
    image.to_file_map(maps)
    back = nibabel.AnalyzeImage.from_file_map(maps)
    made = scan("Analyze", maps["header"].fileobj.getvalue(), back.affine,
                np.asarray(back.dataobj).T[None])
    made["voxels_file"] = text(maps["image"].fileobj.getvalue())
    yield made


def nifti():
    values = volume("i2", (4, 3, 2, 2))
    file = gzip.compress(nibabel.Nifti1Image(values, AFFINE).to_bytes(), mtime=0)
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(file))
    yield scan("NIfTI of two channels", file, back.affine, np.asarray(back.dataobj).T)


if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))
    if len(sys.argv) > 1:
        folder = os.path.join(folder, "golden_" + sys.argv[1])
        os.makedirs(folder, exist_ok=True)
    golden = dict(dicom=list(dicom()), pixels=list(PIXELS), scans=[*mgh(), *nrrd(), *analyze(), *nifti()])
    with open(os.path.join(folder, "golden.json"), "w") as file:
        lists = (f'"{key}": [\n' + ",\n".join(map(json.dumps, golden[key])) + "\n]" for key in golden)
        file.write('{"rows": %d, "columns": %d,\n%s}\n' % (ROWS, COLUMNS, ",\n".join(lists)))
