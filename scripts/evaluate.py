r"""Evaluates a checkpoint on simulated crossbars: `reram-torch evaluate`, for a checkout.

    python scripts/evaluate.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --calibration-data cifar/train \
        --config twin_range search_tree --power isaac --report runs/power

With several processes: `torchrun --nproc_per_node 2 scripts/evaluate.py ...`.
"""

from reram_torch.cli.evaluating import main

if __name__ == "__main__":
    main()
