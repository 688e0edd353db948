# One machine offers no cache. Whoever asks for one is told so before anything is made.

locals {
  # Kept in a local value, so that it is evaluated whatever is read of this module.
  refusal = "This platform has no cache. Leave the parameter cache out and keep what is cached in the database or in memory, or ask the platform team for one."
}

resource "terraform_data" "refused" {
  input = var.name

  lifecycle {
    precondition {
      condition     = var.name == ""
      error_message = local.refusal
    }
  }
}
