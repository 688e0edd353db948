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

variable "kind" {
  description = "preview, staging or production."
  type        = string
  default     = "preview"

  validation {
    condition     = contains(["preview", "staging", "production"], var.kind)
    error_message = "A kind is preview, staging or production."
  }
}

variable "namespace" {
  description = "Where the environment's deployments live."
  type        = string
}

variable "role" {
  description = "The cloud's role that the application acts as."
  type        = string
  default     = null
}

variable "platform" {
  description = "The platform's shared parts; nothing more of them is needed on one machine."
  type        = any
  default     = null
}
