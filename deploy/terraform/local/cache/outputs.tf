output "host" {
  description = "Where the application reaches the cache, with TLS."
  value       = terraform_data.refused.output
}

output "port" {
  description = "The cache's TCP port."
  value       = 0
}

output "user" {
  description = "The cache's user that the application signs in as, with a token of its role."
  value       = null
}
