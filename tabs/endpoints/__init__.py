"""Named endpoints for programs: what a page's controls do, without a page.

They are for gradio_client, and for MCP clients where these are served. Files go through hidden
components, for these alone check that a client's path is an upload of its own.
"""

from studio.services import Services
from tabs.endpoints import making, reading


def build(services: Services) -> None:
    """Add the endpoints to the page that is being built."""
    making.build(services)
    reading.build(services)
