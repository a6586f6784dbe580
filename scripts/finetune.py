r"""Fine-tunes a network through its crossbars: `reram-torch finetune`, for a checkout.

    python scripts/finetune.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --train-data cifar/train --size 32 --augment flip \
        --config search_tree_by_cycle --reduction 12 --epochs 4 --out runs/finetuned

With several processes: `torchrun --nproc_per_node 2 scripts/finetune.py ...`.
"""

from reram_torch.cli.finetuning import main

if __name__ == "__main__":
    main()
