"""Models: which there are, what they need, and the one place that loads them."""

from studio.models import torchvision_guard

torchvision_guard.install()  # before anything here can import diffusers or spandrel
