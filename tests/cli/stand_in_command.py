"""Run by test_train_commands.py: `atelier`, whose trainings are done by the stand-in."""

from functools import partial

import train_runs

import app
from studio.cli import running
from studio.services import build_services

running.build_services = partial(build_services, training_program=train_runs.PROGRAM)

if __name__ == "__main__":
    app.main()
