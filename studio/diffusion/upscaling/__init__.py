"""Larger pictures: resampling, upscaling models, a second pass, and a redraw tile by tile."""
