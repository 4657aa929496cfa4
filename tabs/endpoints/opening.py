"""How endpoints are opened to programs, and the MCP server that serves them as tools."""

import importlib.util
from typing import Any

import gradio as gr

from studio.errors import SettingsError
from studio.settings import Settings

OPEN: dict[str, Any] = {
    # Gradio's MCP server calls what has no queue itself. All else it would ask over HTTP as a
    # client of its own, which nobody has logged in.
    "queue": False,
    "concurrency_limit": None,
    "api_visibility": "public",
}


def check_mcp(settings: Settings) -> None:
    """SettingsError when the endpoints are to be tools and what serves them is not installed."""
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        raise SettingsError(
            "Setting mcp (ATELIER_MCP) is true, but the package mcp is not installed; install "
            "atelier[mcp] or leave out --mcp."
        )


def check_served(page: gr.Blocks) -> None:
    """SettingsError when Gradio could not set up its MCP server, which it keeps to itself."""
    if page.mcp_error:
        raise SettingsError(
            f"The MCP server could not be set up ({page.mcp_error}); install atelier[mcp] with the "
            "versions of constraints.txt, or leave out --mcp."
        )
