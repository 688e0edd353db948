# The platform's inputs, the same for every golden path.

variable "name" {
  description = "The environment's name, a DNS label."
  type        = string
}

variable "incarnation" {
  description = "The id of the request that began this environment; it marks everything as this environment's."
  type        = string
}

variable "kind" {
  description = "preview, staging or production."
  type        = string
}

variable "owner" {
  description = "The person who answers for the environment."
  type        = string
}

variable "team" {
  description = "The owner's team."
  type        = string
}

variable "repository" {
  description = "The application's repository, owner/name."
  type        = string
}

variable "branch" {
  description = "The branch that deploys here."
  type        = string
}

variable "clone_url" {
  description = "Where the repository is cloned from."
  type        = string
}

variable "platform" {
  description = "Where the platform's shared parts are."
  type = object({
    zone            = string
    ingress_address = string
    ingress_port    = number
    database_host   = string
    database_port   = number
    database_name   = string
    # What only the modules of a cloud need; each module says which parts.
    aws = optional(any)
  })
}

# The golden path's own parameters; golden_path.yaml says who may set them and what they default to.

variable "database" {
  description = "Whether the environment has a schema of its own."
  type        = bool
}

variable "cache" {
  description = "Whether the environment has a cache of its own."
  type        = bool
  default     = false
}

variable "instances" {
  description = "How many copies of the application run."
  type        = number
}

variable "memory_mib" {
  description = "The most memory one copy may use."
  type        = number
}
