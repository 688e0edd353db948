# The environment's namespace on the shared cluster: what it may use, who may reach it, who may look into it, and the
# IAM role that its pods act as.

locals {
  aws       = var.platform.aws
  partition = split(":", local.aws.oidc_provider_arn)[1]
  issuer    = trimprefix(local.aws.oidc_issuer, "https://")

  service_account = "app"
  role            = "slipway-env-${var.name}"
  # Written out, not read from the role, so that a plan shows the objects whole.
  role_arn = "arn:${local.partition}:iam::${local.aws.account_id}:role/slipway/${local.role}"

  instances  = tonumber(lookup(var.labels, "instances", "1"))
  memory_mib = tonumber(lookup(var.labels, "memory_mib", "256"))
  kind       = lookup(var.labels, "kind", "preview")
}

resource "aws_iam_role" "app" {
  name                 = local.role
  path                 = "/slipway/"
  description          = "What the application of the environment ${var.name} may do in AWS"
  permissions_boundary = local.aws.permissions_boundary_arn == "" ? null : local.aws.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.aws.oidc_provider_arn }
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = "system:serviceaccount:${var.name}:${local.service_account}"
        }
      }
    }]
  })
}

resource "slipway_kubernetes_objects" "this" {
  name        = var.name
  incarnation = var.incarnation
  manifests   = [for object in concat(local.objects, local.network_policies, local.access) : jsonencode(object)]
}
