# Nothing comes in and nothing goes out, but for what is named here.

locals {
  everywhere = { podSelector = {} }

  network_policies = [for name, spec in local.policies : {
    apiVersion = "networking.k8s.io/v1"
    kind       = "NetworkPolicy"
    metadata   = { name = name, namespace = var.name }
    spec       = merge(local.everywhere, spec)
  }]

  policies = {
    "default-deny" = {
      policyTypes = ["Ingress", "Egress"]
    }
    "allow-dns" = {
      policyTypes = ["Egress"]
      egress = [{
        to    = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "kube-system" } } }]
        ports = [{ protocol = "UDP", port = 53 }, { protocol = "TCP", port = 53 }]
      }]
    }
    "allow-within" = {
      policyTypes = ["Ingress", "Egress"]
      ingress     = [{ from = [{ podSelector = {} }] }]
      egress      = [{ to = [{ podSelector = {} }] }]
    }
    # The load balancer speaks to the pods themselves, from its own subnets.
    "allow-ingress" = {
      policyTypes = ["Ingress"]
      ingress     = [{ from = [for block in local.aws.load_balancer_cidr_blocks : { ipBlock = { cidr = block } }] }]
    }
    "allow-monitoring" = {
      policyTypes = ["Ingress"]
      ingress = [{
        from = [{
          namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = local.aws.monitoring_namespace } }
        }]
      }]
    }
    # Databases, caches and OpenBao are in the VPC.
    "allow-stores" = {
      policyTypes = ["Egress"]
      egress = [{
        to    = [{ ipBlock = { cidr = local.aws.vpc_cidr_block } }]
        ports = [for port in local.aws.private_ports : { protocol = "TCP", port = port }]
      }]
    }
    # Other environments (by their names, through the load balancer), AWS itself, and whoever answers with TLS; never the
    # node's metadata, where credentials of the node are.
    "allow-outside" = {
      policyTypes = ["Egress"]
      egress = [{
        to    = [{ ipBlock = { cidr = "0.0.0.0/0", except = ["169.254.0.0/16"] } }]
        ports = [for port in local.aws.egress_ports : { protocol = "TCP", port = port }]
      }]
    }
  }
}
