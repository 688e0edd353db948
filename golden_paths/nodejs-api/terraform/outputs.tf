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
  description = "Where its data lives; null without a database. Credentials are leased from OpenBao."
  value = var.database ? {
    host          = module.database[0].host
    port          = module.database[0].port
    database      = module.database[0].database
    schema        = module.database[0].schema
    role          = module.database[0].role
    master_secret = module.database[0].master_secret
  } : null
}
