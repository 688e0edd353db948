output "url" {
  description = "Where the environment answers."
  # Through the objects, so that nobody is told of an address before it is there.
  value = slipway_kubernetes_objects.this.namespace == "" ? "" : (
    var.public_port == 443 ? "https://${var.hostname}" : "https://${var.hostname}:${var.public_port}"
  )
}
