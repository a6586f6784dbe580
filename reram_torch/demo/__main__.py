"""`python -m reram_torch.demo`."""

from reram_torch.demo.digits import main

if __name__ == "__main__":
    main()
