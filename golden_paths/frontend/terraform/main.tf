# What an environment of this golden path consists of. The modules are those of the machine or cloud that the
# platform runs on; the provisioner takes a snapshot of this directory and of the modules into the environments
# repository and points `source` at the snapshot.

module "namespace" {
  source = "../../../deploy/terraform/local/namespace"

  name        = var.name
  incarnation = var.incarnation
  labels = {
    owner      = var.owner
    team       = var.team
    kind       = var.kind
    repository = var.repository
    branch     = var.branch
    instances  = tostring(var.instances)
    memory_mib = tostring(var.memory_mib)
  }
  platform = var.platform
}

module "monitoring" {
  source = "../../../deploy/terraform/local/monitoring"

  name        = var.name
  incarnation = var.incarnation
  kind        = var.kind
  namespace   = module.namespace.namespace
  platform    = var.platform
}

module "dns" {
  source = "../../../deploy/terraform/local/dns"

  name        = var.name
  incarnation = var.incarnation
  zone        = var.platform.zone
  target      = var.platform.ingress_address
  platform    = var.platform
}

module "ingress" {
  source = "../../../deploy/terraform/local/ingress"

  name        = var.name
  incarnation = var.incarnation
  hostname    = module.dns.dns_name
  public_port = var.platform.ingress_port
  clone_url   = var.clone_url
  branch      = var.branch
  namespace   = module.namespace.namespace
  platform    = var.platform
}
