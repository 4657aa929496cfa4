"""`python -m studio.training RUN`: see program.py."""

from studio.training.program import main

main()
