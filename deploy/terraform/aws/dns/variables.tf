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
  description = "The load balancer's DNS name."
  type        = string
}

variable "ttl_seconds" {
  description = "How long resolvers may keep the mark; the record itself is kept as long as the load balancer's is."
  type        = number
  default     = 60
}

variable "platform" {
  description = "The shared parts that this module needs; ../README.md says what they are."
  type = object({
    aws = object({
      zone_id               = string
      load_balancer_zone_id = string
    })
  })
}
