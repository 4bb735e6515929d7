"""Trains MONAI's SegResNet or DynUNet on a fold of glioma cases for a number of minutes, on the CPU.

    pip install -r tests/peers/requirements.txt
    python tests/peers/monai_glioma.py DATA RUN MINUTES OUT [segresnet|dynunet]

DATA is a folder of BraTS 2021 cases, RUN a run of `rewind train` whose held-out cases are those of the
fold. The minutes include reading and preprocessing. OUT receives the segmentations of the held-out
cases, to be scored with `rewind evaluate OUT DATA --task brats2021 --missing skip`.

Transforms, networks, loss and optimizer are those of MONAI's tutorials for BraTS
(`brats_segmentation_3d` for SegResNet), with patches of 64³ and half of them around the tumor, because
the voxels are of 2 mm. The learning rate falls along half a cosine over the given time.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

START = time.monotonic()

import nibabel  # noqa: E402: its import counts too
import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.data import CacheDataset, DataLoader  # noqa: E402
from monai.inferers import sliding_window_inference  # noqa: E402
from monai.losses import DiceLoss  # noqa: E402
from monai.networks.nets import DynUNet, SegResNet  # noqa: E402
from monai.transforms import (  # noqa: E402
    Compose, CropForegroundd, EnsureChannelFirstd, EnsureTyped, LoadImaged, MapTransform,
    NormalizeIntensityd, RandCropByPosNegLabeld, RandFlipd, RandScaleIntensityd, RandShiftIntensityd,
    SpatialPadd,
)

data, run, minutes, out = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
kind = sys.argv[5] if len(sys.argv) > 5 else "segresnet"
torch.set_num_threads(os.cpu_count())
torch.manual_seed(0)
PATCH = (64, 64, 64)


class Regions(MapTransform):
    """Labels as three overlapping regions: whole tumor, tumor core, enhancing tumor."""

    def __call__(self, item):
        label = item["label"][0]
        item["label"] = torch.stack([label > 0, (label == 1) | (label == 4), label == 4]).float()
        return item


def entry(case):
    scan = [str(data / case / f"{case}_{name}.nii.gz") for name in ("t1", "t1ce", "t2", "flair")]
    return {"image": scan, "label": str(data / case / f"{case}_seg.nii.gz"), "name": case}


both = ["image", "label"]
prepare = [
    LoadImaged(both), EnsureChannelFirstd(both), EnsureTyped(both), Regions(["label"]),
    CropForegroundd(both, source_key="image", allow_smaller=True), SpatialPadd(both, PATCH),
    NormalizeIntensityd("image", nonzero=True, channel_wise=True),
]
augment = [
    RandCropByPosNegLabeld(both, "label", PATCH, pos=1, neg=1, num_samples=1),
    *[RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)],
    RandScaleIntensityd("image", factors=0.1, prob=1.0),
    RandShiftIntensityd("image", offsets=0.1, prob=1.0),
]
split = json.loads((run / "run.json").read_text())
training = CacheDataset([entry(case) for case in split["training"]], Compose(prepare + augment), progress=False)
loader = DataLoader(training, batch_size=1, shuffle=True)
if kind == "segresnet":
    network = SegResNet(blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4,
                        out_channels=3, dropout_prob=0.2)
else:
    network = DynUNet(3, 4, 3, kernel_size=[3] * 4, strides=[1, 2, 2, 2], upsample_kernel_size=[2] * 3,
                      filters=[16, 32, 64, 128])
loss_of = DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)
optimizer = torch.optim.Adam(network.parameters(), 1e-4 if kind == "segresnet" else 1e-3, weight_decay=1e-5)
rate = optimizer.param_groups[0]["lr"]


def part():
    return (time.monotonic() - START) / (60 * minutes)


steps = 0
network.train()
while part() < 1:
    for batch in loader:
        if part() >= 1:
            break
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * min(part(), 1)))
        batch = batch[0] if isinstance(batch, list) else batch
        optimizer.zero_grad()
        loss = loss_of(network(batch["image"]), batch["label"])
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            print(f"step {steps}: loss {loss.item():.3f}, {100 * part():.0f} % of the time", flush=True)
parameters = sum(parameter.numel() for parameter in network.parameters())
print(f"trained for {(time.monotonic() - START) / 60:.1f} minutes, {steps} steps, {parameters} parameters")

network.eval()
out.mkdir(parents=True, exist_ok=True)
for case in split["held_out"]:
    item = Compose(prepare[:2] + [EnsureTyped(both), prepare[-1]])(entry(case))
    with torch.no_grad():
        logits = sliding_window_inference(item["image"][None], PATCH, 1, network, overlap=0.5, mode="gaussian")
    whole, core, enhancing = (logits[0] > 0).numpy()
    labels = np.where(whole, 2, 0)
    labels[core] = 1
    labels[enhancing] = 4
    source = nibabel.load(data / case / f"{case}_seg.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), source.affine), out / f"{case}.nii.gz")
