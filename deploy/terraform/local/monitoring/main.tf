# Nothing to make: on one machine the runtime watches every application, and the gateway shows its logs and figures.
