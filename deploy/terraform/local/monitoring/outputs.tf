output "log_group" {
  description = "Where the application's log is kept; null: the gateway shows it."
  value       = null
}

output "dashboard" {
  description = "The environment's dashboard; null: the gateway shows it."
  value       = null
}

output "runbook" {
  description = "What to do when an alarm goes off; null: the gateway shows it."
  value       = null
}
