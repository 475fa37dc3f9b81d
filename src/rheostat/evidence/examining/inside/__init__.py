"""What runs inside the sandbox: scripts of their own, which import each other by their bare names."""
