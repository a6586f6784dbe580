r"""Trains a float network: `reram-torch train`, for a checkout and for `torchrun`.

    python scripts/train.py --model resnet20 --data cifar10 --size 32 --augment flip --download \
        --epochs 100 --out runs/resnet20

With several processes: `torchrun --nproc_per_node 8 scripts/train.py ...`.
"""

from reram_torch.cli.training_runs import main

if __name__ == "__main__":
    main()
