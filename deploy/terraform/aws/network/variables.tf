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

variable "purpose" {
  description = "What lives there: database or cache."
  type        = string
}

variable "ports" {
  description = "The TCP ports that the cluster may reach."
  type        = set(number)
}

variable "platform" {
  description = "The shared parts that this module needs; ../README.md says what they are."
  type = object({
    aws = object({
      vpc_id                    = string
      cluster_security_group_id = string
      openbao_security_group_id = optional(string, "")
      availability_zones        = list(string)
      subnet_ipam_pool_id       = optional(string, "")
      subnet_cidr_block         = optional(string, "")
      subnet_route_table_id     = optional(string, "")
    })
  })
}
