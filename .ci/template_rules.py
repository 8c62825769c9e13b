"""What has to hold of the AWS template and no linter knows. Run by .ci/infra in the linter's environment.

usage: template_rules.py TEMPLATE
"""

import sys

from cfnlint.decode import decode

WRITABLE = ("/sys/log/*", "/sys/HINT", "/sys/probe/*", "/t/*/d/*/log/*", "/t/*/d/*/HINT")
WRITES = {"s3:PutObject"}
READS = {"s3:GetObject", "s3:ListBucket"}


def listed(value):
    return value if isinstance(value, list) else [value]


def text(resource):
    """The key pattern of a resource that is built with Fn::Sub."""
    return resource["Fn::Sub"].removeprefix("${Bucket.Arn}/${Prefix}") if "Fn::Sub" in resource else ""


def front_end_neither_deletes_nor_overwrites_data(resources):
    for statement in resources["FrontPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        actions = set(listed(statement["Action"]))
        assert actions <= READS | WRITES, f"the front end may {sorted(actions - READS - WRITES)}"
        if actions & WRITES:
            places = {text(resource) for resource in listed(statement["Resource"])}
            assert places <= set(WRITABLE), f"the front end may write to {sorted(places - set(WRITABLE))}"


def front_ends_have_no_other_rights(resources):
    for name in ("FrontRole", "SecondRole"):
        properties = resources[name]["Properties"]
        managed = [policy["Ref"] for policy in properties["ManagedPolicyArns"]]
        assert managed == ["FrontPolicy", "PasswordPolicy"], f"{name} has {managed}"
        inline = [policy["PolicyName"] for policy in properties["Policies"]]
        assert inline == ["logs"], f"{name} has {inline}"


def only_maintenance_deletes(resources):
    deleting = {name for name, resource in resources.items() if "s3:DeleteObject" in repr(resource)}
    assert deleting == {"MaintenanceRole"}, f"objects may be deleted by {sorted(deleting)}"


def the_log_is_create_only(resources):
    statements = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    rule = next(statement for statement in statements if statement["Sid"] == "LogIsCreateOnly")
    assert (rule["Effect"], rule["Principal"], rule["Action"]) == ("Deny", "*", "s3:PutObject")
    assert {text(resource) for resource in rule["Resource"]} == {"/sys/log/*", "/t/*/d/*/log/*"}
    assert rule["Condition"] == {"Null": {"s3:if-none-match": "true"}}


def segments_and_nothing_else_start_maintenance(resources):
    """A segment's key, and no other, ends in .wal; see src/store/paths.rs."""
    _, configurations, _ = resources["Bucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]["Fn::If"]
    (configuration,) = configurations
    assert configuration["Event"] == "s3:ObjectCreated:Put", configuration["Event"]
    rules = {rule["Name"]: rule["Value"] for rule in configuration["Filter"]["S3Key"]["Rules"]}
    assert rules == {"prefix": {"Fn::Sub": "${Prefix}/t/"}, "suffix": ".wal"}, rules


def data_outlives_the_stack(resources):
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert resources["Bucket"][policy] == "Retain", policy


RULES = (
    front_end_neither_deletes_nor_overwrites_data,
    front_ends_have_no_other_rights,
    only_maintenance_deletes,
    the_log_is_create_only,
    segments_and_nothing_else_start_maintenance,
    data_outlives_the_stack,
)


def main():
    template, _ = decode(sys.argv[1])
    broken = 0
    for rule in RULES:
        try:
            rule(template["Resources"])
        except (AssertionError, KeyError, StopIteration, ValueError) as error:
            broken += 1
            print(f"{sys.argv[1]}: {rule.__name__}: {error}")
    sys.exit(1 if broken else 0)


main()
