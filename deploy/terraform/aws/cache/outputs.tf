output "host" {
  description = "Where the application reaches the cache, with TLS."
  value       = aws_elasticache_serverless_cache.this.endpoint[0].address
}

output "port" {
  description = "The cache's TCP port."
  value       = aws_elasticache_serverless_cache.this.endpoint[0].port
}

output "user" {
  description = "The cache's user that the application signs in as, with a token of its role."
  value       = aws_elasticache_user.app.user_name
}
