"""Times converted layers and networks against torch's: `reram-torch benchmark`, for a checkout.

python scripts/benchmark.py --json runs/before.json
python scripts/benchmark.py --sets workloads resnet18 --adc activity --json runs/after.json
python scripts/benchmark.py --compare runs/before.json runs/after.json
"""

from reram_torch.cli.benchmarking import main

if __name__ == "__main__":
    main()
