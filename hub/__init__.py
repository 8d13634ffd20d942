"""JupyterHub's wiring: settings in, traits out. One function per concern."""
