# The environment's name in the platform's zone, pointed at the ingress.

resource "slipway_dns_record" "this" {
  name        = "${var.name}.${var.zone}"
  type        = "A"
  value       = var.target
  ttl         = var.ttl_seconds
  environment = var.name
  incarnation = var.incarnation
}
