"""Pictures: samplers, the prompt language, previews, metadata and the generation itself."""
