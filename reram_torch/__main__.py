"""`python -m reram_torch`: what is installed and what will run."""

from reram_torch.cli.information import main

if __name__ == "__main__":
    main(program="python -m reram_torch")
