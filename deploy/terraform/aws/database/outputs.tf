output "host" {
  description = "Where the application reaches the database server."
  value       = local.own ? aws_db_instance.this[0].address : var.host
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
  value       = local.own ? local.schema : slipway_database.this[0].name
}

output "role" {
  description = "The role that owns the schema; leased logins are its members."
  value       = local.own ? local.schema : slipway_database.this[0].name
}

output "instance" {
  description = "The ARN of the environment's own instance; null where its schema is in the shared one."
  value       = local.own ? aws_db_instance.this[0].arn : null
}

output "master_secret" {
  description = "The ARN of the secret that RDS keeps the own instance's first credential in; null without such an instance."
  value       = local.own ? one(aws_db_instance.this[0].master_user_secret[*].secret_arn) : null
}
