"""`python -m studio.device`: see program.py."""

from studio.device.program import main

main()
