# Shared by deploy, update and remove. Sourced, not run.
# shellcheck shell=bash

aws_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

say() { echo "== $*"; }

# Prints the comment at the head of the script.
usage() {
  sed -n '2,/^set /{s/^# \{0,1\}//p;}' "$0"
  exit "${1:-2}"
}

# Reads the options of deploy and update into variables of their names, and NAME=VALUE into `given`.
read_options() {
  local option
  stack=siltdb zip='' password_file='' password_arn='' architecture='' given=()
  while [ $# -gt 0 ]; do
    case $1 in
      --zip | --password-file | --password-arn | --stack | --architecture)
        [ $# -ge 2 ] || usage >&2
        option=${1#--}
        printf -v "${option//-/_}" %s "$2"
        shift 2
        ;;
      --help | -h) usage 0 ;;
      [A-Z]*=*)
        given+=("$1")
        shift
        ;;
      *) usage >&2 ;;
    esac
  done
  [ -z "$password_file" ] || [ -z "$password_arn" ] || die "give --password-file or --password-arn, not both"
}

# Refuses at once and clearly where nothing can work.
check_tools() {
  local tool
  for tool in aws python3 od sha256sum unzip; do
    command -v "$tool" >/dev/null || die "$tool is missing"
  done
  aws --version >/dev/null 2>&1 || die "aws (the AWS CLI) does not run: $(aws --version 2>&1 | head -1)"
  region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}
  [ -n "$region" ] || die "no region: set AWS_REGION"
  export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER=
  account=$(aws sts get-caller-identity --query Account --output text 2>&1) \
    || die "AWS does not know who you are: $account"
  partition=$(aws sts get-caller-identity --query Arn --output text | cut -d: -f2)
}

# aws s3api, of a bucket of this account and of no other: its name can be guessed, and somebody else may have made it
# first. $1: the action. $2: the bucket. Others: as for aws.
ours() {
  local action=$1 name=$2
  shift 2
  aws s3api "$action" --bucket "$name" --expected-bucket-owner "$account" "$@"
}

check_stack_name() {
  [[ $stack =~ ^[a-z][a-z0-9-]{0,31}$ ]] \
    || die "'$stack' cannot be the stack's name: it begins the bucket's name, so lower-case letters, digits and - (at most 32)"
}

# The status of the stack; nothing if there is none.
stack_status() {
  local answer
  if answer=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>&1); then
    echo "$answer"
  elif [[ $answer != *"does not exist"* ]]; then
    die "$answer"
  fi
}

# Waits until nothing is under way with the stack, and prints what came of it.
settled_status() {
  local status
  while :; do
    status=$(stack_status)
    [[ $status == *_IN_PROGRESS ]] || break
    sleep 3
  done
  echo "$status"
}

output() {
  aws cloudformation describe-stacks --stack-name "$stack" \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]" --output text
}

# The architecture that an executable was built for, from its ELF header.
architecture_of() {
  case $(od -An -tx1 -N20 "$1" | tr -d ' \n' | sed -E 's/^(.{8}).{28}(.{4}).*/\1-\2/') in
    7f454c46-3e00) echo x86_64 ;;
    7f454c46-b700) echo arm64 ;;
    *) return 1 ;;
  esac
}

# The newest version of glibc that an executable asks for, such as 2.34; nothing if it asks for none.
glibc_of() {
  grep -aoE 'GLIBC_2\.[0-9]+' "$1" | sort -Vu | tail -1 | sed 's/^GLIBC_//' || true
}

# Reads of the executable in a zip what it was built for, into `architecture` unless that is known, and refuses
# what the functions' system cannot start.
examine_zip() {
  local zip=$1 unpacked glibc newest=2.34
  unpacked=$(mktemp)
  unzip -p "$zip" bootstrap >"$unpacked" 2>/dev/null || {
    rm -f "$unpacked"
    die "$zip holds no file named bootstrap at its root"
  }
  [ -n "${architecture:-}" ] || architecture=$(architecture_of "$unpacked") || architecture=
  glibc=$(glibc_of "$unpacked")
  rm -f "$unpacked"
  [ -n "$architecture" ] \
    || die "the bootstrap in $zip is no executable for x86_64 or arm64; if you know better, say --architecture"
  if [ -n "$glibc" ] && [ -z "${SILTDB_ANY_GLIBC:-}" ]; then
    [ "$(printf '%s\n%s\n' "$glibc" "$newest" | sort -V | tail -1)" = "$newest" ] \
      || die "the bootstrap in $zip asks for glibc $glibc, and AWS's provided.al2023 has $newest: build it on Amazon Linux 2023, or by cargo-lambda"
  fi
}

# Makes the bucket for the code, unless this account has it, and closes it to others and to connections in the clear.
prepare_code_bucket() {
  local place=() policy taken
  taken="the bucket $code_bucket cannot be used; if another account has it, take another --stack name"
  if ! ours head-bucket "$code_bucket" >/dev/null 2>&1; then
    say "bucket for the code: $code_bucket"
    [ "$region" = us-east-1 ] || place=(--create-bucket-configuration "LocationConstraint=$region")
    aws s3api create-bucket --bucket "$code_bucket" "${place[@]}" >/dev/null || die "$taken"
  fi
  ours put-public-access-block "$code_bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true || die "$taken"
  policy='{"Version": "2012-10-17", "Statement": [{"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "Resource": ["arn:PARTITION:s3:::BUCKET", "arn:PARTITION:s3:::BUCKET/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}'
  policy=${policy//PARTITION/$partition}
  ours put-bucket-policy "$code_bucket" --policy "${policy//BUCKET/$code_bucket}" || die "$taken"
}

# Uploads the zip under a key made of its sum, so that other code is another key, and the same code is
# uploaded once. Sets code_bucket, code_key, code_sum and architecture.
upload_code() {
  local zip=$1
  [ -f "$zip" ] || die "there is no file $zip"
  examine_zip "$zip"
  code_bucket=$stack-code-$account-$region
  code_key=bootstrap-$(sha256sum "$zip" | cut -c1-32).zip
  # As Lambda says it.
  code_sum=$(python3 -c '
import base64, hashlib, sys
print(base64.b64encode(hashlib.sha256(open(sys.argv[1], "rb").read()).digest()).decode())' "$zip")
  prepare_code_bucket
  if ! ours head-object "$code_bucket" --key "$code_key" >/dev/null 2>&1; then
    say "code: $zip ($architecture)"
    ours put-object "$code_bucket" --key "$code_key" --body "$zip" >/dev/null
  fi
}

# Refuses to go on if a function runs other code than the zip's.
check_code() {
  local name sum
  for name in front second maintenance; do
    [ "$name" != second ] || [ "$(output SecondUrlAddress)" != None ] || continue
    name=$stack-$name
    sum=$(aws lambda get-function-configuration --function-name "$name" --query CodeSha256 --output text)
    [ "$sum" = "$code_sum" ] || die "$name does not run what was uploaded: its code has the sum $sum and not $code_sum.
Somebody has changed s3://$code_bucket/$code_key on the way. Look who may write there, and take the stack down: remove --stack $stack"
  done
}

# Puts the password of root (a file, - for standard input) into SSM's Parameter Store.
store_password() {
  local password input
  password=$(cat -- "$1")
  [ "${#password}" -ge 16 ] || die "the password has ${#password} characters; 16 are the least"
  say "password: SSM parameter /$stack/root-password"
  # By a file and not on the command line, which everybody on this machine can read.
  input=$(mktemp)
  python3 -c '
import json, os, sys
print(json.dumps({"Name": sys.argv[1], "Value": os.fdopen(3).read().removesuffix("\n"), "Type": "SecureString",
                  "Overwrite": True}))' "/$stack/root-password" 3<<<"$password" >"$input"
  aws ssm put-parameter --cli-input-json "file://$input" >/dev/null || {
    rm -f "$input"
    die "the password could not be stored"
  }
  rm -f "$input"
}

# The parameters given as NAME=VALUE, and for an UPDATE those that the stack has already as they are, as a list
# in JSON. $1: CREATE or UPDATE.
parameter_list() {
  local kind=$1 known had=
  shift
  known=$(aws cloudformation get-template-summary --template-body "file://$aws_folder/template.yaml" \
    --query 'Parameters[].ParameterKey' --output text)
  if [ "$kind" = UPDATE ]; then
    had=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].Parameters[].ParameterKey' --output text)
  fi
  python3 -c '
import json, sys
known, had, given = sys.argv[1].split(), sys.argv[2].split(), dict(each.split("=", 1) for each in sys.argv[3:])
if unknown := given.keys() - set(known):
    sys.exit("the template has no parameter " + ", ".join(sorted(unknown)) + "; it has " + ", ".join(known))
values = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in had if name in known and name not in given]
print(json.dumps(values + kept))' "$known" "$had" "$@"
}

# Makes a change set, shows it and carries it out. $1: CREATE or UPDATE. $2: bucket of the data, which may
# have been left by an earlier stack. Others: parameters as NAME=VALUE.
change() {
  local kind=$1 data_bucket=$2 list name status reason
  shift 2
  list=$(parameter_list "$kind" "$@") || die "the parameters are not right"
  name=change-$(date -u +%Y%m%d%H%M%S)-$$
  # A bucket that an earlier stack of this name left is taken over with all that is in it.
  local take_over=()
  if [ "$kind" = CREATE ] && ours head-bucket "$data_bucket" >/dev/null 2>&1; then
    say "the bucket $data_bucket is there already, and is taken over with its data"
    take_over=(--import-existing-resources)
  fi
  aws cloudformation create-change-set --stack-name "$stack" --change-set-name "$name" --change-set-type "$kind" \
    --template-body "file://$aws_folder/template.yaml" --parameters "$list" --capabilities CAPABILITY_IAM \
    "${take_over[@]}" >/dev/null
  while :; do
    status=$(aws cloudformation describe-change-set --stack-name "$stack" --change-set-name "$name" \
      --query '[Status, StatusReason]' --output text)
    [[ $status == CREATE_PENDING* || $status == CREATE_IN_PROGRESS* ]] || break
    sleep 2
  done
  if [[ $status != CREATE_COMPLETE* ]]; then
    aws cloudformation delete-change-set --stack-name "$stack" --change-set-name "$name" >/dev/null 2>&1 || true
    case $status in
      *"didn't contain changes"* | *"No updates are to be performed"*)
        say "nothing to change"
        return 0
        ;;
    esac
    [ "$kind" = UPDATE ] || aws cloudformation delete-stack --stack-name "$stack" >/dev/null 2>&1 || true
    die "CloudFormation refuses: $status"
  fi
  say "what changes"
  aws cloudformation describe-change-set --stack-name "$stack" --change-set-name "$name" --output text \
    --query 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]'
  aws cloudformation execute-change-set --stack-name "$stack" --change-set-name "$name" >/dev/null
  say "waiting for the stack"
  status=$(settled_status)
  if [ "$status" != "${kind}_COMPLETE" ]; then
    reason=$(aws cloudformation describe-stack-events --stack-name "$stack" --output text \
      --query "StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]" | tail -5)
    die "the stack is $status: $reason"
  fi
}

# Lets maintenance run once, so that what does not work shows now and not in a day.
first_round() {
  local folder name error
  folder=$(mktemp -d)
  name=$(output MaintenanceFunctionName)
  say "a first round of maintenance"
  # By a file: the versions of the AWS CLI read what is on the command line differently.
  echo '{}' >"$folder/event"
  error=$(aws lambda invoke --function-name "$name" --payload "fileb://$folder/event" "$folder/answer" \
    --query FunctionError --output text) || die "$name cannot be invoked"
  if [ "$error" != None ]; then
    die "$name failed ($error; its log is in the group /aws/lambda/$name): $(cat "$folder/answer")"
  fi
  rm -rf "$folder"
}

report() {
  say "SiltDB is at $(output Url)"
  local second
  second=$(output SecondUrlAddress)
  [ "$second" = None ] || say "and at $second"
  say "its data is in $(output Store)"
}
