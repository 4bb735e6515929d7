"""Prints what SimpleITK reads in the series of a DICOM folder, for real_data.rs.

    pip install SimpleITK==2.5.7 numpy && python real_data.py ../shared/data/dicom/tumor-study
"""

import os
import sys

import numpy as np
import SimpleITK as sitk

reader = sitk.ImageSeriesReader()
for folder, _, files in sorted(os.walk(sys.argv[1])):
    for uid in reader.GetGDCMSeriesIDs(folder) if files else []:
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder, uid))
        image = reader.Execute()
        voxels = sitk.GetArrayFromImage(image).ravel().astype(np.int64)
        direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        rows = np.diag([-1, -1, 1]) @ np.column_stack([direction, image.GetOrigin()])
        # Each voxel counts by its place.
        placed = int((voxels * (np.arange(voxels.size) % 1009)).sum())
        rows = [[round(number, 6) + 0.0 for number in row] for row in rows.tolist()]
        print(f"(\"{os.path.basename(folder)}\", {list(image.GetSize())}, {voxels.sum()}, {placed}, {rows}),")
