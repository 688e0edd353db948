output "url" {
  description = "Where the environment answers."
  value       = var.public_port == 80 ? "http://${slipway_route.this.hostname}" : "http://${slipway_route.this.hostname}:${var.public_port}"
}
