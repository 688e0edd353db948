# The environment's host at the ingress. Until something is deployed it says what to push where.

resource "slipway_route" "this" {
  hostname    = var.hostname
  clone_url   = var.clone_url
  branch      = var.branch
  environment = var.name
  incarnation = var.incarnation
}
