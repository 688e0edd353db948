output "host" {
  description = "Where the application reaches the database server."
  value       = var.host
}

output "port" {
  description = "The database server's TCP port."
  value       = var.port
}

output "database" {
  description = "The database that holds the schema."
  value       = var.database
}

output "schema" {
  description = "The environment's schema."
  value       = slipway_database.this.name
}

output "role" {
  description = "The role that owns the schema; leased logins are its members."
  value       = slipway_database.this.name
}

output "instance" {
  description = "The environment's own database server; null: its schema is in the shared one."
  value       = null
}

output "master_secret" {
  description = "Where the own server's first credential is kept; null: there is no such server."
  value       = null
}
