"""The embedded reader, from a packaged encoder and open questions to a scored model folder.

Each stage is one command, `python -m training.reader STAGE`; README.md says their order.
"""
