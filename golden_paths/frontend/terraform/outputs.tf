output "url" {
  description = "Where the environment answers."
  value       = module.ingress.url
}

output "hostname" {
  description = "The environment's DNS name, without a dot at its end."
  value       = module.dns.dns_name
}

output "namespace" {
  description = "Where its deployments live."
  value       = module.namespace.namespace
}

output "database" {
  description = "Null: a site keeps nothing."
  value       = null
}
