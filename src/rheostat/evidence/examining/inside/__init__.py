"""Scripts that run inside the sandbox, where they import each other by their bare names."""
