mock_provider "slipway" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  hostname    = "demo-api.apps.example.test"
  public_port = 443
  clone_url   = "https://forge.example.test/acme/demo-api.git"
  branch      = "main"
  namespace   = "demo-api"
  platform = {
    aws = {
      certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
    }
  }
}

run "the_shared_load_balancer_gets_a_host_with_tls" {
  override_resource {
    target = slipway_kubernetes_objects.this
    values = { namespace = "demo-api" }
  }

  assert {
    condition     = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).spec.rules[0].host if jsondecode(text).kind == "Ingress"]) == "demo-api.apps.example.test"
    error_message = "Requests for the environment's host come here."
  }
  assert {
    condition     = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).metadata.annotations["alb.ingress.kubernetes.io/listen-ports"] if jsondecode(text).kind == "Ingress"]) == "[{\"HTTPS\":443}]"
    error_message = "Only with TLS."
  }
  assert {
    condition     = output.url == "https://demo-api.apps.example.test"
    error_message = "The URL leaves the usual port out."
  }
}
