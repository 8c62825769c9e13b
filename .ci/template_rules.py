"""What has to hold of the AWS template and no linter knows. Run by .ci/infra in the linter's environment.

usage: template_rules.py TEMPLATE
"""

import sys

from cfnlint.decode import decode

# What the policies of front ends allow, by action: not more, and not less, or a front end fails.
RIGHTS = {
    "FrontPolicy": {
        "s3:GetObject": {"/sys/*", "/t/*/d/*/log/*", "/t/*/d/*/HINT"},
        "s3:ListBucket": {""},
        "s3:PutObject": {"/sys/probe/*", "/t/*/d/*/log/*.m", "/t/*/d/*/HINT"},
    },
    "ReaderPolicy": {"s3:GetObject": {"/t/*/d/*/data/*", "/t/*/d/*/leaf/*"}},
    "WriterPolicy": {"s3:PutObject": {"/sys/log/*", "/sys/HINT", "/t/*/d/*/log/*.wal"}},
}
# The policies of a role, and the conditions of those that not every front end has.
POLICIES = {
    "FrontRole": {"FrontPolicy": None, "ReaderPolicy": "FrontReads", "WriterPolicy": "FrontWrites", "PasswordPolicy": None},
    "SecondRole": {"FrontPolicy": None, "ReaderPolicy": "SecondReads", "WriterPolicy": "SecondWrites", "PasswordPolicy": None},
    "MaintenanceRole": {},
}
CONDITIONS = {
    "FrontReads": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Mode"}, "write-only"]}]},
    "FrontWrites": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Mode"}, "read-only"]}]},
    "SecondReads": {"Fn::Equals": [{"Ref": "SecondUrl"}, "read-only"]},
    "SecondWrites": {"Fn::Equals": [{"Ref": "SecondUrl"}, "write-only"]},
}


def listed(value):
    return value if isinstance(value, list) else [value]


def text(resource):
    """The key pattern of a resource that is built with Fn::Sub; "" for the bucket itself."""
    if "Fn::Sub" not in resource:
        assert resource == {"Fn::GetAtt": ["Bucket", "Arn"]} or resource == {"Fn::GetAtt": "Bucket.Arn"}, resource
        return ""
    return resource["Fn::Sub"].removeprefix("${Bucket.Arn}/${Prefix}")


def front_ends_may_do_what_they_need_and_nothing_else(template):
    for name, rights in RIGHTS.items():
        allowed = {}
        for statement in template["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]:
            assert set(statement) == {"Effect", "Action", "Resource"} and statement["Effect"] == "Allow", statement
            for action in listed(statement["Action"]):
                allowed.setdefault(action, set()).update(text(resource) for resource in listed(statement["Resource"]))
        assert allowed == rights, f"{name} allows {allowed}"


def roles_differ_as_their_functions_do(template):
    for name, condition in CONDITIONS.items():
        assert template["Conditions"][name] == condition, f"{name} is {template['Conditions'][name]}"
    for name, policies in POLICIES.items():
        properties = template["Resources"][name]["Properties"]
        managed = {}
        for policy in properties.get("ManagedPolicyArns", []):
            condition = None
            if "Fn::If" in policy:
                condition, policy, otherwise = policy["Fn::If"]
                assert otherwise == {"Ref": "AWS::NoValue"}, otherwise
            managed[policy["Ref"]] = condition
        assert managed == policies, f"{name} has {managed}"
        inline = [policy["PolicyName"] for policy in properties["Policies"]]
        expected = ["store", "queues", "logs"] if name == "MaintenanceRole" else ["logs"]
        assert inline == expected, f"{name} has {inline}"


def maintenance_knows_no_secret(template):
    for name in ("MaintenanceRole", "MaintenanceFunction"):
        said = repr(template["Resources"][name])
        for word in ("Password", "ssm:", "secretsmanager:", "kms:"):
            assert word not in said, f"{name} has to do with {word}"


def a_key_decrypts_the_password_and_nothing_else(template):
    _, right, _ = template["Resources"]["PasswordPolicy"]["Properties"]["PolicyDocument"]["Statement"][1]["Fn::If"]
    assert (right["Action"], right["Resource"]) == ("kms:Decrypt", {"Ref": "PasswordKeyArn"}), right
    _, parameter, secret = right["Condition"]["Fn::If"]
    assert parameter == {"StringEquals": {"kms:EncryptionContext:PARAMETER_ARN": {"Ref": "RootPasswordArn"}}}, parameter
    assert secret == {"StringLike": {"kms:EncryptionContext:SecretARN": {"Fn::Sub": "${RootPasswordArn}*"}}}, secret


def another_password_starts_functions_anew(template):
    for name in ("FrontFunction", "SecondFunction"):
        variables = template["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert variables["PASSWORD_CHANGED"] == {"Ref": "PasswordChanged"}, f"{name} has {variables}"


def nobody_speaks_in_the_clear(template):
    for name in ("BucketPolicy", "MaintenanceQueuePolicy", "DeadLetterQueuePolicy"):
        statements = template["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]
        rule = next(statement for statement in statements if statement["Sid"] == "TlsOnly")
        assert (rule["Effect"], rule["Principal"]) == ("Deny", "*"), f"{name}: {rule}"
        assert rule["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, f"{name}: {rule}"


def only_maintenance_deletes(template):
    deleting = {name for name, resource in template["Resources"].items() if "s3:DeleteObject" in repr(resource)}
    assert deleting == {"MaintenanceRole"}, f"objects may be deleted by {sorted(deleting)}"


def the_log_is_create_only(template):
    statements = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    rule = next(statement for statement in statements if statement["Sid"] == "LogIsCreateOnly")
    assert (rule["Effect"], rule["Principal"], rule["Action"]) == ("Deny", "*", "s3:PutObject")
    assert {text(resource) for resource in rule["Resource"]} == {"/sys/log/*", "/t/*/d/*/log/*"}
    assert rule["Condition"] == {"Null": {"s3:if-none-match": "true"}}


def segments_and_nothing_else_start_maintenance(template):
    """A segment's key, and no other, ends in .wal; see src/store/paths.rs."""
    _, configurations, _ = template["Resources"]["Bucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]["Fn::If"]
    (configuration,) = configurations
    assert configuration["Event"] == "s3:ObjectCreated:Put", configuration["Event"]
    rules = {rule["Name"]: rule["Value"] for rule in configuration["Filter"]["S3Key"]["Rules"]}
    assert rules == {"prefix": {"Fn::Sub": "${Prefix}/t/"}, "suffix": ".wal"}, rules


def data_outlives_the_stack(template):
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert template["Resources"]["Bucket"][policy] == "Retain", policy


RULES = (
    front_ends_may_do_what_they_need_and_nothing_else,
    roles_differ_as_their_functions_do,
    maintenance_knows_no_secret,
    a_key_decrypts_the_password_and_nothing_else,
    another_password_starts_functions_anew,
    nobody_speaks_in_the_clear,
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
            rule(template)
        except (AssertionError, KeyError, StopIteration, ValueError) as error:
            broken += 1
            print(f"{sys.argv[1]}: {rule.__name__}: {error}")
    sys.exit(1 if broken else 0)


main()
