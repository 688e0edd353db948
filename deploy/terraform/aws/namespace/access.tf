# What its developers may do with kubectl: look at everything but secrets, and, outside production, restart and reach it.

locals {
  looking = [
    {
      apiGroups = [""]
      resources = ["pods", "pods/log", "services", "endpoints", "events", "configmaps", "resourcequotas", "limitranges"]
      verbs     = ["get", "list", "watch"]
    },
    {
      apiGroups = ["apps"]
      resources = ["deployments", "replicasets", "statefulsets"]
      verbs     = ["get", "list", "watch"]
    },
    {
      apiGroups = ["batch"]
      resources = ["jobs", "cronjobs"]
      verbs     = ["get", "list", "watch"]
    },
    {
      apiGroups = ["networking.k8s.io"]
      resources = ["ingresses", "networkpolicies"]
      verbs     = ["get", "list", "watch"]
    },
  ]
  touching = [
    {
      apiGroups = [""]
      resources = ["pods"]
      verbs     = ["delete"]
    },
    {
      apiGroups = [""]
      resources = ["pods/portforward"]
      verbs     = ["create"]
    },
  ]

  access = [
    # Whom OpenBao makes tokens for (docs/how-to/kubectl.md); no pod runs as it.
    {
      apiVersion                   = "v1"
      kind                         = "ServiceAccount"
      metadata                     = { name = "developer", namespace = var.name }
      automountServiceAccountToken = false
    },
    {
      apiVersion = "rbac.authorization.k8s.io/v1"
      kind       = "Role"
      metadata   = { name = "developer", namespace = var.name }
      rules      = concat(local.looking, local.kind == "production" ? [] : local.touching)
    },
    {
      apiVersion = "rbac.authorization.k8s.io/v1"
      kind       = "RoleBinding"
      metadata   = { name = "developer", namespace = var.name }
      roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = "developer" }
      subjects = [
        { apiGroup = "rbac.authorization.k8s.io", kind = "Group", name = "env:${var.name}:developer" },
        { kind = "ServiceAccount", name = "developer", namespace = var.name },
      ]
    },
  ]
}
