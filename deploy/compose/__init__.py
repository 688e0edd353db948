"""The platform as containers: what `docker-compose.yml` at the root needs besides the image (`deploy/image`)."""
