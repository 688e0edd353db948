# A schema and the role that owns it, in the database that all environments share. The role cannot log in:
# OpenBao's database engine hands out short-lived logins that are its members.

locals {
  schema = "env_${replace(var.name, "-", "_")}"
}

resource "slipway_database" "this" {
  name        = local.schema
  environment = var.name
  incarnation = var.incarnation
}
