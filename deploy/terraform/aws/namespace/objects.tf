# The namespace, what fits into it, and the account that its pods run under.

locals {
  objects = [
    {
      apiVersion = "v1"
      kind       = "Namespace"
      metadata = {
        name = var.name
        labels = {
          "app.kubernetes.io/name"                     = var.name
          "pod-security.kubernetes.io/enforce"         = "restricted"
          "pod-security.kubernetes.io/enforce-version" = "latest"
        }
        # Not labels: a person's address or a branch is no label's value.
        annotations = { for key, value in var.labels : "slipway/${replace(key, "_", "-")}" => value }
      }
    },
    {
      apiVersion = "v1"
      kind       = "ResourceQuota"
      metadata   = { name = "environment", namespace = var.name }
      spec = {
        hard = {
          # Twice what runs: a rollout starts the new before it ends the old.
          "pods"                   = tostring(2 * local.instances + 2)
          "requests.cpu"           = "${(2 * local.instances + 2) * 250}m"
          "requests.memory"        = "${(2 * local.instances + 2) * local.memory_mib}Mi"
          "limits.memory"          = "${(2 * local.instances + 2) * local.memory_mib}Mi"
          "services.loadbalancers" = "0"
          "services.nodeports"     = "0"
          "persistentvolumeclaims" = "0"
        }
      }
    },
    {
      apiVersion = "v1"
      kind       = "LimitRange"
      metadata   = { name = "container", namespace = var.name }
      spec = {
        limits = [{
          type           = "Container"
          default        = { memory = "${local.memory_mib}Mi" }
          defaultRequest = { cpu = "100m", memory = "${local.memory_mib}Mi" }
          max            = { memory = "${local.memory_mib}Mi" }
        }]
      }
    },
    {
      apiVersion = "v1"
      kind       = "ServiceAccount"
      metadata = {
        name        = local.service_account
        namespace   = var.name
        annotations = { "eks.amazonaws.com/role-arn" = local.role_arn }
      }
      automountServiceAccountToken = false
    },
  ]
}
