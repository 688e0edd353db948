mock_provider "aws" {}
mock_provider "slipway" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  labels = {
    owner      = "ann@example.test"
    team       = "web"
    kind       = "preview"
    repository = "acme/demo-api"
    branch     = "feature/login"
    instances  = "2"
    memory_mib = "256"
  }
  platform = {
    aws = {
      account_id                = "123456789012"
      vpc_cidr_block            = "10.0.0.0/16"
      oidc_provider_arn         = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.test/id/A1"
      oidc_issuer               = "https://oidc.eks.test/id/A1"
      load_balancer_cidr_blocks = ["10.0.0.0/20", "10.0.16.0/20"]
      permissions_boundary_arn  = "arn:aws:iam::123456789012:policy/slipway-boundary"
    }
  }
}

run "nothing_comes_in_or_goes_out_but_what_is_named" {
  command = plan

  assert {
    condition = contains([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).spec if jsondecode(text).kind == "NetworkPolicy" && jsondecode(text).metadata.name == "default-deny"], {
      podSelector = {}
      policyTypes = ["Ingress", "Egress"]
    })
    error_message = "A policy denies everything for every pod."
  }
  assert {
    condition = alltrue([
      for text in slipway_kubernetes_objects.this.manifests : alltrue([
        for rule in try(jsondecode(text).spec.ingress, []) : length(try(rule.from, [])) > 0
      ]) if jsondecode(text).kind == "NetworkPolicy"
    ])
    error_message = "No policy lets everybody in."
  }
  assert {
    condition     = strcontains(join("", slipway_kubernetes_objects.this.manifests), "\"except\":[\"169.254.0.0/16\"]")
    error_message = "The node's metadata is out of reach."
  }
}

run "what_it_may_use_is_limited" {
  command = plan

  assert {
    condition     = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).spec.hard if jsondecode(text).kind == "ResourceQuota"])["limits.memory"] == "1536Mi"
    error_message = "Twice the instances' memory, and a little for jobs."
  }
  assert {
    condition     = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).spec.limits[0].default.memory if jsondecode(text).kind == "LimitRange"]) == "256Mi"
    error_message = "A container that says nothing gets what one instance may use."
  }
}

run "only_its_service_account_becomes_its_role" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.app.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.eks.test/id/A1:aud" = "sts.amazonaws.com"
      "oidc.eks.test/id/A1:sub" = "system:serviceaccount:demo-api:app"
    }
    error_message = "The role is for the service account app of this namespace alone."
  }
  assert {
    condition     = aws_iam_role.app.permissions_boundary == "arn:aws:iam::123456789012:policy/slipway-boundary"
    error_message = "The platform's permissions boundary is set."
  }
  assert {
    condition = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).metadata.annotations if jsondecode(text).kind == "ServiceAccount" && jsondecode(text).metadata.name == "app"]) == {
      "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/slipway/slipway-env-demo-api"
    }
    error_message = "The service account names the role."
  }
}

run "its_developers_are_bound_and_see_no_secrets" {
  command = plan

  assert {
    condition     = one([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).subjects[0].name if jsondecode(text).kind == "RoleBinding"]) == "env:demo-api:developer"
    error_message = "The group of the environment's developers is bound."
  }
  assert {
    condition     = !strcontains(join("", slipway_kubernetes_objects.this.manifests), "secrets")
    error_message = "Nobody gets at secrets."
  }
  assert {
    condition     = contains(flatten([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).rules[*].verbs if jsondecode(text).kind == "Role"]), "delete")
    error_message = "Outside production a developer may restart a pod."
  }
}

run "in_production_they_only_look" {
  command = plan
  variables {
    labels = { kind = "production", instances = "2", memory_mib = "256" }
  }

  assert {
    condition     = toset(flatten([for text in slipway_kubernetes_objects.this.manifests : jsondecode(text).rules[*].verbs if jsondecode(text).kind == "Role"])) == toset(["get", "list", "watch"])
    error_message = "Production is looked at and changed by deployments only."
  }
}
