# The environment's host at the shared load balancer. Until something is deployed the load balancer answers 503; the
# annotations say what to push where.

resource "slipway_kubernetes_objects" "this" {
  name        = var.name
  incarnation = var.incarnation
  manifests   = [for object in local.objects : jsonencode(object)]
}

locals {
  aws = var.platform.aws
  pushed_from = {
    "slipway/clone-url" = var.clone_url
    "slipway/branch"    = var.branch
  }

  objects = [
    {
      apiVersion = "v1"
      kind       = "Service"
      metadata = {
        name        = "app"
        namespace   = var.namespace
        labels      = { "app.kubernetes.io/name" = var.name }
        annotations = local.pushed_from
      }
      spec = {
        type     = "ClusterIP"
        selector = { "app.kubernetes.io/name" = var.name }
        # The container's port has a name, so that its number is the application's own affair.
        ports = [{ name = "http", port = 80, protocol = "TCP", targetPort = "http" }]
      }
    },
    {
      apiVersion = "networking.k8s.io/v1"
      kind       = "Ingress"
      metadata = {
        name      = "app"
        namespace = var.namespace
        labels    = { "app.kubernetes.io/name" = var.name }
        annotations = merge(local.pushed_from, {
          "alb.ingress.kubernetes.io/group.name"       = local.aws.ingress_group
          "alb.ingress.kubernetes.io/scheme"           = local.aws.load_balancer_scheme
          "alb.ingress.kubernetes.io/target-type"      = "ip"
          "alb.ingress.kubernetes.io/listen-ports"     = jsonencode([{ HTTPS = var.public_port }])
          "alb.ingress.kubernetes.io/certificate-arn"  = local.aws.certificate_arn
          "alb.ingress.kubernetes.io/healthcheck-path" = var.health_path
        })
      }
      spec = {
        ingressClassName = local.aws.ingress_class
        rules = [{
          host = var.hostname
          http = {
            paths = [{
              path     = "/"
              pathType = "Prefix"
              backend  = { service = { name = "app", port = { name = "http" } } }
            }]
          }
        }]
      }
    },
  ]
}
