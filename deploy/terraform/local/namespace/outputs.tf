output "namespace" {
  description = "The namespace's name."
  value       = slipway_namespace.this.name
}
