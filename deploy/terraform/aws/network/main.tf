# Subnets in the shared VPC for one store of one environment, and who may reach it: the cluster, at the store's ports,
# and OpenBao where it is outside of it and the store is a database.
# Nothing else is in these subnets, so what may reach them can be read from one security group.

locals {
  aws   = var.platform.aws
  label = "slipway-env-${var.name}-${var.purpose}"
  pool  = local.aws.subnet_ipam_pool_id != ""

  # Without a pool, a place in the block that follows from whose it is. Two environments may meet there: then AWS refuses
  # the second (InvalidSubnet.Conflict). A pool never gives an address twice, and is what a platform of any size wants.
  block = local.aws.subnet_cidr_block
  bits  = local.block == "" ? 0 : max(27 - tonumber(split("/", local.block)[1]), 0)
  start = parseint(substr(sha256("${var.incarnation}/${var.purpose}"), 0, 8), 16)
}

resource "aws_vpc_ipam_pool_cidr_allocation" "this" {
  for_each = local.pool ? toset(local.aws.availability_zones) : []

  ipam_pool_id   = local.aws.subnet_ipam_pool_id
  netmask_length = 27
  description    = "${local.label} in ${each.key}"
}

resource "aws_subnet" "this" {
  for_each = { for number, zone in local.aws.availability_zones : zone => number }

  vpc_id            = local.aws.vpc_id
  availability_zone = each.key
  cidr_block = (
    local.pool
    ? aws_vpc_ipam_pool_cidr_allocation.this[each.key].cidr
    : try(cidrsubnet(local.block, local.bits, (local.start + each.value) % pow(2, local.bits)), null)
  )
  map_public_ip_on_launch = false

  tags = { Name = "${local.label}-${each.key}" }

  lifecycle {
    precondition {
      condition     = local.pool || pow(2, local.bits) >= length(local.aws.availability_zones)
      error_message = "The platform has no addresses for a ${var.purpose} of its own: set subnet_ipam_pool_id in SLIPWAY_PROVISIONER_AWS, or subnet_cidr_block to a block that holds a /27 for each zone."
    }
    precondition {
      condition     = length(local.aws.availability_zones) >= 2
      error_message = "A ${var.purpose} needs subnets in two availability zones at least: name them in availability_zones of SLIPWAY_PROVISIONER_AWS."
    }
  }
}

resource "aws_route_table_association" "this" {
  for_each = local.aws.subnet_route_table_id == "" ? {} : aws_subnet.this

  route_table_id = local.aws.subnet_route_table_id
  subnet_id      = each.value.id
}

resource "aws_security_group" "this" {
  name        = local.label
  description = "The ${var.purpose} of the environment ${var.name}"
  vpc_id      = local.aws.vpc_id

  tags = { Name = local.label }
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  for_each = { for port in var.ports : tostring(port) => port }

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = local.aws.cluster_security_group_id
  description                  = "From the cluster"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

# OpenBao leases logins of databases; where it is not in the cluster, it is let in by a security group of its own.
resource "aws_vpc_security_group_ingress_rule" "openbao" {
  for_each = {
    for port in var.ports : tostring(port) => port
    if var.purpose == "database" && local.aws.openbao_security_group_id != ""
  }

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = local.aws.openbao_security_group_id
  description                  = "From OpenBao"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}
