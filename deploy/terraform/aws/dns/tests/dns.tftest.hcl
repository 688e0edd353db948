mock_provider "aws" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  zone        = "apps.example.test"
  target      = "lb-1.elb.example.test"
  platform = {
    aws = {
      zone_id               = "Z1"
      load_balancer_zone_id = "ZLB"
    }
  }
}

run "the_name_points_at_the_load_balancer_and_says_whose_it_is" {
  command = plan

  assert {
    condition     = aws_route53_record.this.name == "demo-api.apps.example.test" && aws_route53_record.this.type == "A"
    error_message = "The record is the environment's name in the zone."
  }
  assert {
    condition     = aws_route53_record.this.alias[0].name == "lb-1.elb.example.test" && aws_route53_record.this.alias[0].zone_id == "ZLB"
    error_message = "It is an alias of the load balancer."
  }
  assert {
    condition     = aws_route53_record.mark.name == "_slipway.demo-api.apps.example.test" && strcontains(one(aws_route53_record.mark.records), var.incarnation)
    error_message = "A text record says whose it is."
  }
  assert {
    condition     = output.dns_name == "demo-api.apps.example.test"
    error_message = "The name is put out."
  }
}
