"""The embedded image model, from npm packages of drawings to a scored pipeline folder.

Each stage is one command, `python -m training.embedded STAGE`, and goes on where it was stopped.
"""

import studio.models  # noqa: F401 - for its guard on torchvision, before diffusers is imported
