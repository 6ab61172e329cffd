"""`python -m pvlab` is the command `pvlab`."""
import sys

from pvlab.cli import main

sys.exit(main())
