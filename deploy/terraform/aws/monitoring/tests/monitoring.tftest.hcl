mock_provider "aws" {}
mock_provider "slipway" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  kind        = "production"
  namespace   = "demo-api"
  platform = {
    aws = {
      region                 = "eu-central-1"
      cluster_name           = "shared"
      alarm_topic_arn        = "arn:aws:sns:eu-central-1:123456789012:alarms"
      portal_url             = "https://slipway.example.test"
      service_monitor_labels = { release = "prometheus" }
    }
  }
}

run "it_is_watched_without_being_asked" {
  command = plan

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/slipway/environments/demo-api" && aws_cloudwatch_log_group.this.retention_in_days == 90
    error_message = "Logs of production are kept for 90 days."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 2 && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : strcontains(alarm.alarm_description, "https://slipway.example.test/environments/demo-api")])
    error_message = "Every alarm names the page that says what to do."
  }
  assert {
    condition     = jsondecode(one(slipway_kubernetes_objects.this.manifests)).kind == "ServiceMonitor" && jsondecode(one(slipway_kubernetes_objects.this.manifests)).metadata.labels.release == "prometheus"
    error_message = "Its figures are scraped."
  }
  assert {
    condition     = output.runbook == "https://slipway.example.test/environments/demo-api"
    error_message = "The runbook is put out."
  }
}

run "a_dashboard_shows_figures_and_log" {
  assert {
    condition     = toset([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.type]) == toset(["text", "metric", "log"])
    error_message = "A link, figures and the log."
  }
}
