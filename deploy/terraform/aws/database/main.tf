# A schema and the role that owns it in the shared instance, as everywhere; or, for the kinds of environments that are to
# have one (`own_database_kinds`), an instance of their own. The owner cannot log in: OpenBao's database engine hands out
# short-lived logins that are its members.
#
# No password is known here: RDS makes the instance's first one itself and keeps it in Secrets Manager. The secrets
# service reads it there, and makes in an own instance what `slipway_database` makes in the shared one.

locals {
  aws    = var.platform.aws
  own    = contains(local.aws.own_database_kinds, var.kind)
  schema = "env_${replace(var.name, "-", "_")}"

  # RDS takes no two hyphens in a row.
  plain  = "slipway-env-${var.name}"
  id     = strcontains(var.name, "--") ? "slipway-env-${substr(sha256(var.name), 0, 16)}" : local.plain
  alarms = local.aws.alarm_topic_arn == "" ? [] : [local.aws.alarm_topic_arn]
}

resource "slipway_database" "this" {
  count = local.own ? 0 : 1

  name        = local.schema
  environment = var.name
  incarnation = var.incarnation
}

module "network" {
  source = "../network"
  count  = local.own ? 1 : 0

  name        = var.name
  incarnation = var.incarnation
  purpose     = "database"
  ports       = [var.port]
  platform    = var.platform
}

resource "aws_db_subnet_group" "this" {
  count = local.own ? 1 : 0

  name        = local.id
  description = "The database of the environment ${var.name}"
  subnet_ids  = module.network[0].subnet_ids
}

resource "aws_db_instance" "this" {
  count = local.own ? 1 : 0

  identifier     = local.id
  engine         = "postgres"
  engine_version = local.aws.database_engine_version
  instance_class = local.aws.database_instance_class
  db_name        = var.database
  port           = var.port

  username                            = "slipway"
  manage_master_user_password         = true
  iam_database_authentication_enabled = true

  db_subnet_group_name   = aws_db_subnet_group.this[0].name
  vpc_security_group_ids = [module.network[0].security_group_id]
  publicly_accessible    = false
  multi_az               = var.kind == "production"

  storage_type          = "gp3"
  allocated_storage     = 20
  max_allocated_storage = 200
  storage_encrypted     = true

  # What is deleted can be had back: a last snapshot, and the backups of the days before. Protection against deletion is
  # off unless asked for: with it a removal that a person has confirmed, and the undo of a failed creation, would leave
  # the instance behind.
  backup_retention_period   = var.kind == "production" ? 14 : 3
  copy_tags_to_snapshot     = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "${local.id}-${substr(var.incarnation, 0, 8)}-final"
  delete_automated_backups  = false
  deletion_protection       = local.aws.database_deletion_protection

  auto_minor_version_upgrade = true
  # A plan after the apply must be empty; a change that waits for the maintenance window would stay in it.
  apply_immediately = true

  performance_insights_enabled    = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}
