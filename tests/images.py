"""Folders of small random images."""

import numpy as np


def image_folder(root, count=6, classes=("cat", "dog"), seed=0):
    """One folder for each class; needs PIL, which comes with torchvision."""
    from PIL import Image

    random = np.random.default_rng(seed)
    for label in classes:
        (root / label).mkdir(parents=True)
        for k in range(count):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{k}.png")
    return root
