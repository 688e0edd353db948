# The environment's slot in the local runtime, where its deployments live.

resource "slipway_namespace" "this" {
  name        = var.name
  labels      = var.labels
  environment = var.name
  incarnation = var.incarnation
}
