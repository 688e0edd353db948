output "subnet_ids" {
  description = "The subnets, in the order of their availability zones' names."
  value       = [for zone in sort(keys(aws_subnet.this)) : aws_subnet.this[zone].id]
}

output "security_group_id" {
  description = "The security group that lets the cluster in."
  value       = aws_security_group.this.id
}
