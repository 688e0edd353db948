mock_provider "aws" {}
mock_provider "slipway" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  host        = "shared.db.example.test"
  port        = 5432
  database    = "apps"
  platform = {
    aws = {
      vpc_id                    = "vpc-1"
      cluster_security_group_id = "sg-cluster"
      availability_zones        = ["eu-central-1a", "eu-central-1b"]
      subnet_cidr_block         = "10.20.0.0/16"
      alarm_topic_arn           = "arn:aws:sns:eu-central-1:123456789012:alarms"
      portal_url                = "https://slipway.example.test"
    }
  }
}

run "a_preview_has_a_schema_in_the_shared_instance" {
  command = plan
  variables {
    kind = "preview"
  }

  assert {
    condition     = slipway_database.this[0].name == "env_demo_api" && length(aws_db_instance.this) == 0 && length(module.network) == 0
    error_message = "A schema, and no instance."
  }
  assert {
    condition     = [output.host, output.port, output.database, output.schema, output.role] == ["shared.db.example.test", 5432, "apps", "env_demo_api", "env_demo_api"]
    error_message = "It is where the platform says."
  }
}

run "nobody_has_an_instance_where_no_kind_is_to_have_one" {
  command = plan
  variables {
    kind = "production"
    platform = {
      aws = {
        vpc_id                    = "vpc-1"
        cluster_security_group_id = "sg-cluster"
        availability_zones        = ["eu-central-1a", "eu-central-1b"]
        own_database_kinds        = []
      }
    }
  }

  assert {
    condition     = length(slipway_database.this) == 1 && length(aws_db_instance.this) == 0 && output.master_secret == null
    error_message = "A schema in the shared instance, and no first login."
  }
}

run "openbao_outside_the_cluster_is_let_in" {
  command = plan
  variables {
    kind = "production"
    platform = {
      aws = {
        vpc_id                    = "vpc-1"
        cluster_security_group_id = "sg-cluster"
        openbao_security_group_id = "sg-openbao"
        availability_zones        = ["eu-central-1a", "eu-central-1b"]
        subnet_cidr_block         = "10.20.0.0/16"
      }
    }
  }

  assert {
    condition     = module.network[0].lets_in == toset(["sg-cluster", "sg-openbao"])
    error_message = "The cluster and OpenBao."
  }
}

run "production_has_an_instance_of_its_own" {
  command = plan
  variables {
    kind = "production"
  }

  assert {
    condition     = length(slipway_database.this) == 0 && aws_db_instance.this[0].identifier == "slipway-env-demo-api"
    error_message = "An instance, and nothing in the shared one."
  }
  assert {
    condition     = aws_db_instance.this[0].manage_master_user_password && aws_db_instance.this[0].password == null && aws_db_instance.this[0].password_wo == null
    error_message = "RDS keeps the password; Terraform never has it."
  }
  assert {
    condition     = aws_db_instance.this[0].storage_encrypted && aws_db_instance.this[0].multi_az && !aws_db_instance.this[0].publicly_accessible
    error_message = "Encrypted, in two zones, not public."
  }
  assert {
    condition     = !aws_db_instance.this[0].skip_final_snapshot && aws_db_instance.this[0].final_snapshot_identifier == "slipway-env-demo-api-6ba7b810-final" && !aws_db_instance.this[0].delete_automated_backups
    error_message = "What is deleted can be had back."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : strcontains(alarm.alarm_description, "https://slipway.example.test/environments/demo-api") && length(alarm.alarm_actions) == 1])
    error_message = "Every alarm goes somewhere and names the page that says what to do."
  }
}

run "what_is_put_out_of_an_own_instance" {
  variables {
    kind = "production"
  }
  override_resource {
    target = aws_db_instance.this
    values = {
      address            = "own.db.example.test"
      arn                = "arn:aws:rds:eu-central-1:123456789012:db:slipway-env-demo-api"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!1" }]
    }
  }

  assert {
    condition     = output.host == "own.db.example.test" && endswith(output.instance, ":slipway-env-demo-api") && endswith(output.master_secret, ":rds!1")
    error_message = "Its address, its ARN, and where its first credential is."
  }
}

run "a_name_that_rds_does_not_take_is_replaced" {
  command = plan
  variables {
    name = "demo--api"
    kind = "production"
  }

  assert {
    condition     = can(regex("^slipway-env-[0-9a-f]{16}$", aws_db_instance.this[0].identifier))
    error_message = "No two hyphens in a row."
  }
}
