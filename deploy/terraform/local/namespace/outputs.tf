output "namespace" {
  description = "The namespace's name."
  value       = slipway_namespace.this.name
}

output "role" {
  description = "The cloud's role that the application acts as; null: one machine has none."
  value       = null
}
