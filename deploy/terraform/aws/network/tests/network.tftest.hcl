mock_provider "aws" {}

variables {
  name        = "demo-api"
  incarnation = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  purpose     = "database"
  ports       = [5432]
  platform = {
    aws = {
      vpc_id                    = "vpc-1"
      cluster_security_group_id = "sg-cluster"
      availability_zones        = ["eu-central-1a", "eu-central-1b"]
      subnet_cidr_block         = "10.20.0.0/16"
    }
  }
}

run "two_small_subnets_that_only_the_cluster_reaches" {
  command = plan

  assert {
    condition     = length(aws_subnet.this) == 2 && length(distinct([for one in aws_subnet.this : one.cidr_block])) == 2
    error_message = "One subnet in each availability zone, none like another."
  }
  assert {
    condition     = alltrue([for one in aws_subnet.this : endswith(one.cidr_block, "/27") && startswith(one.cidr_block, "10.20.") && !one.map_public_ip_on_launch])
    error_message = "The subnets are cut from the platform's block and have no public addresses."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.cluster : [rule.referenced_security_group_id, rule.from_port, rule.to_port]] == [["sg-cluster", 5432, 5432]]
    error_message = "Only the cluster gets in, and only at the given port."
  }
}

run "a_pool_gives_the_addresses_where_there_is_one" {
  command = plan
  variables {
    platform = {
      aws = {
        vpc_id                    = "vpc-1"
        cluster_security_group_id = "sg-cluster"
        availability_zones        = ["eu-central-1a", "eu-central-1b"]
        subnet_ipam_pool_id       = "ipam-pool-1"
        subnet_route_table_id     = "rtb-1"
      }
    }
  }

  assert {
    condition     = length(aws_vpc_ipam_pool_cidr_allocation.this) == 2 && length(aws_route_table_association.this) == 2
    error_message = "An allocation and a route table for each subnet."
  }
}

run "a_platform_without_addresses_is_told_what_to_set" {
  command = plan
  variables {
    platform = {
      aws = {
        vpc_id                    = "vpc-1"
        cluster_security_group_id = "sg-cluster"
        availability_zones        = ["eu-central-1a", "eu-central-1b"]
      }
    }
  }

  expect_failures = [aws_subnet.this]
}
