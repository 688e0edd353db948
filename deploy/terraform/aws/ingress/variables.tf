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

variable "hostname" {
  description = "The host that requests name."
  type        = string
}

variable "public_port" {
  description = "The port people use to reach the load balancer; 443 is left out of the URL."
  type        = number
}

variable "clone_url" {
  description = "Where the application's repository is cloned from."
  type        = string
}

variable "branch" {
  description = "The branch that deploys to this environment."
  type        = string
}

variable "namespace" {
  description = "Where the environment's deployments live."
  type        = string
}

variable "health_path" {
  description = "The path at which the application says that it lives."
  type        = string
  default     = "/healthz"
}

variable "platform" {
  description = "The shared parts that this module needs; ../README.md says what they are."
  type = object({
    aws = object({
      certificate_arn      = string
      ingress_class        = optional(string, "alb")
      ingress_group        = optional(string, "slipway")
      load_balancer_scheme = optional(string, "internal")
    })
  })
}
