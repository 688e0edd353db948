# For an instance of its own; the shared one is watched by whoever runs it.

locals {
  runbook = local.aws.portal_url == "" ? "" : " Runbook: ${local.aws.portal_url}/environments/${var.name}"
  watched = local.own ? {
    cpu = {
      metric      = "CPUUtilization"
      comparison  = "GreaterThanThreshold"
      threshold   = 80
      description = "The database has been busy for fifteen minutes: look for slow queries, or choose a larger class."
    }
    storage = {
      metric      = "FreeStorageSpace"
      comparison  = "LessThanThreshold"
      threshold   = 2 * 1024 * 1024 * 1024
      description = "Less than 2 GiB are free: the database stops when nothing is."
    }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.watched

  alarm_name          = "${local.id}-database-${each.key}"
  alarm_description   = "${each.value.description}${local.runbook}"
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = local.id }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = "missing"
  alarm_actions       = local.alarms
  ok_actions          = local.alarms
}
