"""The default model's network, untrained, for both sides of a comparison: peer_network.py CHECKPOINT FOLDER

What its weights are makes no difference to how long it takes, so no checkpoint has to be at hand."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "train"))
from driftless_train import checkpoint, config, export, loop  # noqa: E402


def main():
    state = loop.Trainer(config.read(ROOT / "train" / "configs" / "fashion-vp.toml")).state()
    checkpoint.save(Path(sys.argv[1]), state)
    export.export(state, Path(sys.argv[2]), [1, 28, 28])


if __name__ == "__main__":
    main()
