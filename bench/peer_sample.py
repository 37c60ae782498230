"""The job of `driftless sample` in PyTorch and diffusers: peer_sample.py CHECKPOINT N STEPS OUTPUT.png

The network is the module that network.onnx was exported from. Prints one JSON object: seconds of sampling
and images per second, everything before (imports, loading) apart."""

import json
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import DEISMultistepScheduler  # noqa: E402
from PIL import Image  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))
from driftless_train import checkpoint, export  # noqa: E402


def main():
    path, n, steps, output = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    torch.set_grad_enabled(False)
    network, _ = export.denoiser(checkpoint.load(path))
    scheduler = DEISMultistepScheduler(beta_start=1e-4, beta_end=0.02, solver_order=3)
    scheduler.set_timesteps(steps)
    labels = torch.arange(n) % 10
    sample = torch.randn((n, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    loaded = time.perf_counter()
    for t in scheduler.timesteps:
        answer = network(sample, torch.full((n,), float(t)), labels)
        sample = scheduler.step(answer, t, sample).prev_sample
    sampled = time.perf_counter()
    columns = int(np.ceil(np.sqrt(n)))
    pixels = ((sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()[:, 0]
    grid = np.zeros((-(-n // columns) * 28, columns * 28), np.uint8)
    for i, image in enumerate(pixels):
        row, column = divmod(i, columns)
        grid[row * 28:(row + 1) * 28, column * 28:(column + 1) * 28] = image
    Image.fromarray(grid).save(output)
    print(json.dumps({"seconds": sampled - loaded, "images_per_second": n / (sampled - loaded),
                      "before": loaded - BEGAN}))


if __name__ == "__main__":
    main()
