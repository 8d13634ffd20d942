"""Lab containers: which GPUs there are, what a container is allowed, who holds it to its time."""
