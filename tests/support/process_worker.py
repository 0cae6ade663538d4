"""One of several processes that train together: what the tests of processes start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn
from training_cases import SHAPE, Signalling, Tiny, make_recipe, make_scans

from bids_xai.models.graz import Graz
from bids_xai.training.loop import TrainingInterrupted, train
from bids_xai.training.processes import current_processes, process_group

CASES: dict[str, dict[str, object]] = {
    "guided": {
        "epochs": 3,
        "batch_size": 2,
        "accumulate": 2,
        "relevance_guided": True,
        "class_weights": "balanced",
        "patience": 1,
        "min_delta": 0.2,
        "learning_rate": 3e-3,
    },
    "penalised": {
        "epochs": 3,
        "batch_size": 4,
        "optimizer": "sgd",
        "flip_axes": (0,),
        "shift_voxels": 1,
    },
}


def network(case: str) -> nn.Module:
    """Without what depends on the other scans of a process or on its generator."""
    return Graz(SHAPE).double() if case == "guided" else Tiny(dropout=0.0, norm=False).double()


def run(case: str, folder: Path, stop_at: int = 0) -> tuple[nn.Module, dict[str, object]]:
    """Train on nine scans in steps of four: the last step has fewer scans than processes."""
    model, recipe = network(case), make_recipe(**CASES[case])
    data = [(volume.double(), mask.double(), label) for volume, mask, label in make_scans(9)]
    validation = [(v.double(), m.double(), label) for v, m, label in make_scans(5, seed=1)]
    seen: list[int] = []
    result = train(
        model,
        Signalling(data, stop_at),
        validation,
        recipe,
        folder=folder,
        device="cpu",
        progress=lambda record: seen.append(record.epoch),
    )
    columns = [
        [r.lr, r.train_loss, r.train_ce, r.validation_loss, r.validation_balanced_accuracy]
        for r in result.history
    ]
    return model, {"columns": columns, "seen": seen, "best_epoch": result.best_epoch}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    with process_group("cpu"):
        rank = current_processes().rank
        for case in CASES:
            model, found = run(case, folder / case)
            torch.save(model.state_dict(), folder / f"{case}-{rank}.pt")
            (folder / f"{case}-{rank}.json").write_text(json.dumps(found))
        try:  # process 1 alone gets the signal, in the second epoch; both must stop
            run("penalised", folder / "stopped", stop_at=7 if rank == 1 else 0)
        except TrainingInterrupted as error:
            (folder / f"stopped-{rank}.txt").write_text(str(error))
        model, found = run("penalised", folder / "stopped")
        torch.save(model.state_dict(), folder / f"stopped-{rank}.pt")
        (folder / f"stopped-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
