"""The `slipway` Terraform provider: what one machine, or a Kubernetes cluster, offers an environment.

Five resources: `slipway_database`, `slipway_dns_record`, `slipway_route`, `slipway_namespace`, and for a cluster
`slipway_kubernetes_objects`. Each is adopt-or-create: what it makes carries a mark with the environment's name and
incarnation, written in the same step as the thing itself; what carries our mark is adopted, what carries another's (or
none) is refused, never changed and never deleted. Credentials reach the provider object in Python, never through
Terraform's variables, plan or state.

`server.py` serves it inside the provisioner, one small gRPC server a run; `__main__.py` is the ordinary
executable for people who run Terraform by hand.
"""
