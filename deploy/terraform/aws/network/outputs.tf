output "subnet_ids" {
  description = "The subnets, in the order of their availability zones' names."
  value       = [for zone in sort(keys(aws_subnet.this)) : aws_subnet.this[zone].id]
}

output "security_group_id" {
  description = "The security group that lets the cluster in."
  value       = aws_security_group.this.id
}

output "lets_in" {
  description = "The security groups that may reach the store."
  value = toset([
    for rule in concat(
      values(aws_vpc_security_group_ingress_rule.cluster),
      values(aws_vpc_security_group_ingress_rule.openbao)
    ) : rule.referenced_security_group_id
  ])
}
