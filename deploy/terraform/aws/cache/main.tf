# A cache that speaks Redis' protocol (Valkey), serverless: it costs what is used. The application signs in with a token
# of its own IAM role, which lives for minutes, so there is no password.

locals {
  # At most 40 characters, and no two hyphens in a row.
  plain = "env-${var.name}"
  id    = length(local.plain) > 40 || strcontains(var.name, "--") ? "env-${substr(sha256(var.name), 0, 16)}" : local.plain
}

module "network" {
  source = "../network"

  name        = var.name
  incarnation = var.incarnation
  purpose     = "cache"
  # 6380 answers readers.
  ports    = [6379, 6380]
  platform = var.platform
}

resource "aws_elasticache_user" "app" {
  user_id       = local.id
  user_name     = local.id
  engine        = "valkey"
  access_string = "on ~* &* +@all -@admin"

  authentication_mode {
    type = "iam"
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = local.id
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.app.user_id]
}

resource "aws_elasticache_serverless_cache" "this" {
  name                     = local.id
  description              = "The cache of the environment ${var.name}"
  engine                   = "valkey"
  major_engine_version     = "8"
  subnet_ids               = module.network.subnet_ids
  security_group_ids       = [module.network.security_group_id]
  user_group_id            = aws_elasticache_user_group.this.user_group_id
  snapshot_retention_limit = 0

  # What a leak in the application may cost at most.
  cache_usage_limits {
    data_storage {
      maximum = var.platform.aws.cache_most_gb
      unit    = "GB"
    }
    ecpu_per_second {
      maximum = var.kind == "production" ? 15000 : 5000
    }
  }
}

resource "aws_iam_role_policy" "connect" {
  name = "cache"
  role = var.role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "elasticache:Connect"
      Resource = [aws_elasticache_serverless_cache.this.arn, aws_elasticache_user.app.arn]
    }]
  })
}

# Where the application finds it: pods take the variables from here (`envFrom`, optional).
resource "slipway_kubernetes_objects" "this" {
  name        = var.name
  incarnation = var.incarnation
  manifests = [jsonencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "cache", namespace = var.namespace }
    data = {
      CACHE_HOST = aws_elasticache_serverless_cache.this.endpoint[0].address
      CACHE_PORT = tostring(aws_elasticache_serverless_cache.this.endpoint[0].port)
      CACHE_USER = aws_elasticache_user.app.user_name
      CACHE_NAME = aws_elasticache_serverless_cache.this.name
    }
  })]
}
