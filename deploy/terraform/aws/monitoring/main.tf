# Every environment is watched: figures are scraped, logs kept, a dashboard drawn, and alarms name the page that says what
# to do.

locals {
  aws     = var.platform.aws
  runbook = local.aws.portal_url == "" ? "" : "${local.aws.portal_url}/environments/${var.name}"
  alarms  = local.aws.alarm_topic_arn == "" ? [] : [local.aws.alarm_topic_arn]

  dimensions = { ClusterName = local.aws.cluster_name, Namespace = var.namespace }
  # Figures of Container Insights.
  watched = {
    memory = {
      metric      = "pod_memory_utilization_over_pod_limit"
      comparison  = "GreaterThanThreshold"
      threshold   = 90
      description = "A pod uses more than nine tenths of its memory and will be ended: look for a leak, or raise memory_mib."
    }
    cpu = {
      metric      = "pod_cpu_utilization_over_pod_limit"
      comparison  = "GreaterThanThreshold"
      threshold   = 90
      description = "The pods have used nearly all of their processors' time for fifteen minutes: raise instances."
    }
  }
}

# The cluster's log agent writes each namespace's logs to the group of this name.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/slipway/environments/${var.name}"
  retention_in_days = var.kind == "production" ? 90 : 14
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.watched

  alarm_name          = "slipway-env-${var.name}-${each.key}"
  alarm_description   = local.runbook == "" ? each.value.description : "${each.value.description} Runbook: ${local.runbook}"
  namespace           = "ContainerInsights"
  metric_name         = each.value.metric
  dimensions          = local.dimensions
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  # Nothing runs before the first deployment.
  treat_missing_data = "notBreaching"
  alarm_actions      = local.alarms
  ok_actions         = local.alarms
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "slipway-env-${var.name}"
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "text"
        x          = 0
        y          = 0
        width      = 24
        height     = 2
        properties = { markdown = "# ${var.name} (${var.kind})\n[What to do](${local.runbook})" }
      }],
      [for number, figure in ["pod_cpu_utilization_over_pod_limit", "pod_memory_utilization_over_pod_limit", "namespace_number_of_running_pods"] : {
        type   = "metric"
        x      = number * 8
        y      = 2
        width  = 8
        height = 6
        properties = {
          title   = figure
          region  = local.aws.region
          period  = 60
          stat    = "Maximum"
          metrics = [["ContainerInsights", figure, "ClusterName", local.aws.cluster_name, "Namespace", var.namespace]]
        }
      }],
      [{
        type   = "log"
        x      = 0
        y      = 8
        width  = 24
        height = 8
        properties = {
          title  = "Log"
          region = local.aws.region
          query  = "SOURCE '${aws_cloudwatch_log_group.this.name}' | fields @timestamp, @message | sort @timestamp desc | limit 100"
        }
      }],
    )
  })
}

resource "slipway_kubernetes_objects" "this" {
  name        = var.name
  incarnation = var.incarnation
  manifests = [jsonencode({
    apiVersion = "monitoring.coreos.com/v1"
    kind       = "ServiceMonitor"
    metadata = {
      name        = "app"
      namespace   = var.namespace
      labels      = local.aws.service_monitor_labels
      annotations = { "slipway/runbook" = local.runbook }
    }
    spec = {
      selector  = { matchLabels = { "app.kubernetes.io/name" = var.name } }
      endpoints = [{ port = "http", path = "/metrics", interval = "30s" }]
    }
  })]
}
