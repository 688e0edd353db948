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

variable "host" {
  description = "The shared database server's address."
  type        = string
}

variable "port" {
  description = "The database servers' TCP port."
  type        = number
}

variable "database" {
  description = "The database that holds the schema."
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

variable "platform" {
  description = "The shared parts that this module needs; ../README.md says what they are."
  type = object({
    aws = object({
      vpc_id                       = string
      cluster_security_group_id    = string
      openbao_security_group_id    = optional(string, "")
      availability_zones           = list(string)
      subnet_ipam_pool_id          = optional(string, "")
      subnet_cidr_block            = optional(string, "")
      subnet_route_table_id        = optional(string, "")
      own_database_kinds           = optional(list(string), ["production"])
      database_instance_class      = optional(string, "db.t4g.medium")
      database_engine_version      = optional(string, "17")
      database_deletion_protection = optional(bool, false)
      alarm_topic_arn              = optional(string, "")
      portal_url                   = optional(string, "")
    })
  })
}
