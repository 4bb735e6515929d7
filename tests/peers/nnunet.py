"""Trains nnU-Net v2 on a fold of the Decathlon's hippocampus for a number of minutes, on the CPU.

    pip install -r tests/peers/requirements.txt
    python tests/peers/nnunet.py DATA RUN MINUTES OUT

DATA is the data set's folder, RUN a run of `rewind train` whose held-out cases are those of the fold.
The minutes include nnU-Net's planning and preprocessing. OUT receives the segmentations of the held-out
cases, to be scored with `rewind evaluate OUT DATA/labelsTr --missing skip`.

nnU-Net's own schedule is 1,000 epochs of 250 steps. Here the learning rate falls by the same power
over the given time instead, and the training ends with it, so that the schedule is whole. Validations
during the training are left out. Nothing else is changed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

START = time.monotonic()
NAME = "Dataset004_Hippocampus"


def prepare(data, run, work):
    """Makes the folders of nnU-Net, and lets it plan and preprocess."""
    shutil.rmtree(work, ignore_errors=True)
    for name in ("raw", "preprocessed", "results"):
        (work / name).mkdir(parents=True)
        os.environ[f"nnUNet_{name}"] = str(work / name)
    raw = work / "raw" / NAME
    pairs = json.loads((data / "dataset.json").read_text())["training"]
    cases = [Path(pair["image"]).name.removesuffix(".nii.gz") for pair in pairs]
    for folder, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
        (raw / folder).mkdir(parents=True)
        for case in cases:
            link = raw / folder / f"{case}{ending}.nii.gz"
            link.symlink_to((data / folder / f"{case}.nii.gz").resolve())
    (raw / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Anterior": 1, "Posterior": 2},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }))
    processes = str(os.cpu_count())
    plan = ["nnUNetv2_plan_and_preprocess", "-d", "4", "-c", "3d_fullres", "-np", processes]
    subprocess.run(plan, check=True)
    preprocessed = work / "preprocessed" / NAME
    split = json.loads((run / "run.json").read_text())
    folds = [{"train": split["training"], "val": split["held_out"]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(folds))
    return preprocessed


def train(preprocessed, minutes):
    """Trains until the time is over. Returns the trainer."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Timed(nnUNetTrainer):
        """nnU-Net's trainer with its schedule over the given time."""

        def run_training(self):
            def part():
                return (time.monotonic() - START) / (60 * minutes)

            self.on_train_start()
            self.network.train()
            steps = 0
            while part() < 1:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.initial_lr * (1 - part()) ** 0.9
                self.train_step(next(self.dataloader_train))
                steps += 1
            elapsed = (time.monotonic() - START) / 60
            print(f"trained for {elapsed:.1f} minutes, {steps} steps")
            self.on_train_end()

    torch.set_num_threads(os.cpu_count())
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    # nnU-Net's own command adds this key.
    plans["continue_training"] = False
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    trainer = Timed(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    trainer.run_training()
    return trainer


def main():
    data, run, minutes, out = sys.argv[1:5]
    out = Path(out)
    work = out.with_suffix(".work")
    trainer = train(prepare(Path(data), Path(run), work), float(minutes))
    trainer.perform_actual_validation(save_probabilities=False)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in Path(trainer.output_folder, "validation").glob("*.nii.gz"):
        shutil.copy(file, out / file.name)
    files = [file for file in work.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in files)
    model = Path(trainer.output_folder, "checkpoint_final.pth").stat().st_size
    print(f"{size / 2**20:.0f} MiB on the disk, {model / 2**20:.1f} of them the model")


if __name__ == "__main__":
    main()
