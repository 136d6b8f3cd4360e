#!/usr/bin/env bash
# Makes the two instance profiles that cluster.yaml names. Run it once for an AWS account. It needs the AWS CLI, and a
# user who may make roles.
#
#     rectools-tuner-head      may start workers, look up images, read and write S3
#     rectools-tuner-worker    may read and write S3 only
set -euo pipefail

trust='{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}'
account=$(aws sts get-caller-identity --query Account --output text)
start='{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*::parameter/aws/service/*"},
    {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::'$account':role/rectools-tuner-worker"}]}'

for name in rectools-tuner-head rectools-tuner-worker; do
    aws iam create-role --role-name "$name" --assume-role-policy-document "$trust"
    aws iam attach-role-policy --role-name "$name" --policy-arn arn:aws:iam::aws:policy/AmazonS3FullAccess
    aws iam create-instance-profile --instance-profile-name "$name"
    aws iam add-role-to-instance-profile --instance-profile-name "$name" --role-name "$name"
done
aws iam attach-role-policy --role-name rectools-tuner-head --policy-arn arn:aws:iam::aws:policy/AmazonEC2FullAccess
aws iam put-role-policy --role-name rectools-tuner-head --policy-name start-workers --policy-document "$start"
