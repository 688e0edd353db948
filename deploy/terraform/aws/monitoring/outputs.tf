output "log_group" {
  description = "Where the application's log is kept."
  value       = aws_cloudwatch_log_group.this.name
}

output "dashboard" {
  description = "The environment's dashboard."
  value       = "https://${local.aws.region}.console.aws.amazon.com/cloudwatch/home?region=${local.aws.region}#dashboards:name=${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "runbook" {
  description = "What to do when an alarm goes off."
  value       = local.runbook == "" ? null : local.runbook
}
