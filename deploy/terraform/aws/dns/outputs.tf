output "dns_name" {
  description = "The environment's fully qualified name, without a dot at its end."
  value       = aws_route53_record.this.name
}
