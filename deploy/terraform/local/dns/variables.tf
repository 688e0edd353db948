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

variable "zone" {
  description = "The platform's DNS zone."
  type        = string
}

variable "target" {
  description = "The ingress's address."
  type        = string
}

variable "ttl_seconds" {
  description = "How long resolvers may keep the record."
  type        = number
  default     = 60
}

variable "platform" {
  description = "The platform's shared parts; nothing more of them is needed on one machine."
  type        = any
  default     = null
}
