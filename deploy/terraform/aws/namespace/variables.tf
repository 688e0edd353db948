variable "name" {
  description = "The environment's name, a DNS label."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "A name is a DNS label of at most 40 characters that begins with a letter."
  }
}

variable "incarnation" {
  description = "The id of the request that began this environment; it marks everything as this environment's."
  type        = string
}

variable "labels" {
  description = "Whose the namespace is, and what is deployed into it."
  type        = map(string)
}

variable "platform" {
  description = "The shared parts that this module needs; ../README.md says what they are."
  type = object({
    aws = object({
      account_id                = string
      vpc_cidr_block            = string
      oidc_provider_arn         = string
      oidc_issuer               = string
      load_balancer_cidr_blocks = list(string)
      monitoring_namespace      = optional(string, "monitoring")
      permissions_boundary_arn  = optional(string, "")
      egress_ports              = optional(list(number), [443])
      private_ports             = optional(list(number), [5432, 6379, 6380, 8200])
    })
  })
}
