output "namespace" {
  description = "The namespace's name."
  value       = slipway_kubernetes_objects.this.namespace
}

output "role" {
  description = "The IAM role that the application acts as."
  value       = aws_iam_role.app.name
}
