output "dns_name" {
  description = "The environment's fully qualified name, without a dot at its end."
  value       = slipway_dns_record.this.name
}
