mock_provider "aws" {}
mock_provider "slipway" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  kind        = "preview"
  namespace   = "demo-api"
  role        = "slipway-env-demo-api"
  platform = {
    aws = {
      vpc_id                    = "vpc-1"
      cluster_security_group_id = "sg-cluster"
      availability_zones        = ["eu-central-1a", "eu-central-1b"]
      subnet_cidr_block         = "10.20.0.0/16"
    }
  }
}

run "the_application_signs_in_with_its_role" {
  override_resource {
    target = aws_elasticache_serverless_cache.this
    values = {
      arn      = "arn:aws:elasticache:eu-central-1:123456789012:serverlesscache:env-demo-api"
      endpoint = [{ address = "cache.example.test", port = 6379 }]
    }
  }
  override_resource {
    target = aws_elasticache_user.app
    values = { arn = "arn:aws:elasticache:eu-central-1:123456789012:user:env-demo-api" }
  }

  assert {
    condition     = aws_elasticache_user.app.authentication_mode[0].type == "iam" && aws_elasticache_user.app.passwords == null && aws_elasticache_user.app.user_id == aws_elasticache_user.app.user_name
    error_message = "There is no password, and an IAM user has one name for both."
  }
  assert {
    condition     = aws_iam_role_policy.connect.role == "slipway-env-demo-api" && length(jsondecode(aws_iam_role_policy.connect.policy).Statement[0].Resource) == 2
    error_message = "The application's role may connect to this cache as this user."
  }
  assert {
    condition     = aws_elasticache_serverless_cache.this.cache_usage_limits[0].data_storage[0].maximum == 1
    error_message = "What it may cost is limited."
  }
  assert {
    condition = jsondecode(one(slipway_kubernetes_objects.this.manifests)).data == {
      CACHE_HOST = "cache.example.test"
      CACHE_PORT = "6379"
      CACHE_USER = "env-demo-api"
      CACHE_NAME = "env-demo-api"
    }
    error_message = "The application is told where its cache is."
  }
  assert {
    condition     = output.host == "cache.example.test" && output.port == 6379 && output.user == "env-demo-api"
    error_message = "And so is the platform."
  }
}

run "a_long_name_is_shortened" {
  command = plan
  variables {
    name = "a23456789-123456789-123456789-123456789a"
  }

  assert {
    condition     = length(aws_elasticache_serverless_cache.this.name) <= 40 && can(regex("^env-[0-9a-f]{16}$", aws_elasticache_serverless_cache.this.name))
    error_message = "At most 40 characters."
  }
}
