terraform {
  required_version = ">= 1.5"
  required_providers {
    slipway = {
      source  = "slipway.localhost/platform/slipway"
      version = "~> 1.0"
    }
  }
}
