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
  description = "Where the environment's application reaches the database server."
  type        = string
}

variable "port" {
  description = "The database server's TCP port."
  type        = number
}

variable "database" {
  description = "The database that holds the environments' schemas."
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
  description = "The platform's shared parts; nothing more of them is needed on one machine."
  type        = any
  default     = null
}
