"""`python -m ratoon_node` is the command `ratoon`."""

from ratoon_node.cli import main

if __name__ == "__main__":
    main()
