"""Groups of components that several tabs use."""
