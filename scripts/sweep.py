r"""Sweeps ADC designs, encodings and budgets: `reram-torch sweep`, for a checkout.

python scripts/sweep.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --calibration-data cifar/train \
        --configs twin_range intervals search_tree --reductions 2 4 6 8 10 --csv runs/sweep.csv
"""

from reram_torch.cli.sweeping import main

if __name__ == "__main__":
    main()
