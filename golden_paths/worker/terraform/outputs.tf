output "url" {
  description = "Null: nothing answers, so there is no ingress."
  value       = null
}

output "hostname" {
  description = "Null: nothing answers, so there is no DNS name."
  value       = null
}

output "namespace" {
  description = "Where its deployments live."
  value       = module.namespace.namespace
}

output "database" {
  description = "Where its jobs live. Credentials are leased from OpenBao."
  value = {
    host          = module.database.host
    port          = module.database.port
    database      = module.database.database
    schema        = module.database.schema
    role          = module.database.role
    master_secret = module.database.master_secret
  }
}
