# The environment's name in the platform's zone, pointed at the load balancer, and beside it whose it is: records have no
# tags. A record that is there already is somebody else's, and Route 53 refuses to make it again.

resource "aws_route53_record" "this" {
  zone_id = var.platform.aws.zone_id
  name    = "${var.name}.${var.zone}"
  type    = "A"

  alias {
    name                   = var.target
    zone_id                = var.platform.aws.load_balancer_zone_id
    evaluate_target_health = false
  }

  # With its mark, and after it: a name that is found without one was not made here.
  depends_on = [aws_route53_record.mark]
}

resource "aws_route53_record" "mark" {
  zone_id = var.platform.aws.zone_id
  name    = "_slipway.${var.name}.${var.zone}"
  type    = "TXT"
  ttl     = var.ttl_seconds
  records = ["slipway environment=${var.name} incarnation=${var.incarnation}"]
}
