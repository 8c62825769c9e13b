use http_body_util::BodyExt;

use super::*;

fn request(event: &str) -> UrlRequest {
    match Event::parse(event.as_bytes()).unwrap() {
        Event::Request(request) => *request,
        _ => panic!("not a request: {event}"),
    }
}

async fn body(request: UrlRequest) -> Vec<u8> {
    request.request.into_body().collect().await.unwrap().to_bytes().to_vec()
}

const HEAD: &str = r#""version":"2.0","rawPath":"/api/v1/write","rawQueryString":"db=a%20b",
    "requestContext":{"http":{"method":"POST","sourceIp":"203.0.113.7"}}"#;

#[tokio::test]
async fn bodies_are_decoded_as_the_event_says_whatever_their_type() {
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"] {
        let headers = format!(r#""headers":{{"content-type":"{kind}"}}"#);
        let plain = request(&format!(r#"{{{HEAD},{headers},"body":"YQ==","isBase64Encoded":false}}"#));
        assert_eq!(plain.request.uri(), "/api/v1/write?db=a%20b");
        assert_eq!((plain.source.as_str(), plain.authenticated), ("203.0.113.7", false));
        assert_eq!(body(plain).await, b"YQ==");
        let coded = request(&format!(r#"{{{HEAD},{headers},"body":"YQ==","isBase64Encoded":true}}"#));
        assert_eq!(coded.kind(), "write");
        assert_eq!(body(coded).await, b"a");
    }
    assert!(body(request(&format!("{{{HEAD}}}"))).await.is_empty());
}

#[test]
fn only_what_the_platform_says_of_itself_authenticates() {
    let context = |authorizer: &str| {
        format!(
            r#"{{"rawPath":"/","headers":{{"authorizer":"iam"}},"requestContext":{{"http":{{"method":"GET"}},"authorizer":{authorizer}}}}}"#
        )
    };
    assert!(request(&context(r#"{"iam":{"accountId":"1","userArn":"arn:aws:iam::1:user/x"}}"#)).authenticated);
    for none in
        [r#"{"iam":{"accountId":"1"}}"#, r#"{"iam":false}"#, r#"{"iam":true}"#, r#"{"iam":{"userArn":""}}"#, "[1]"]
    {
        assert!(!request(&context(none)).authenticated, "{none}");
    }
    assert!(!request(&context("null")).authenticated);
    assert!(!request(&context(r#"{"jwt":{}}"#)).authenticated);
}

#[test]
fn a_request_that_makes_no_sense_is_still_a_request() {
    for event in [
        format!(r#"{{{HEAD},"headers":{{"a b":"c"}}}}"#),
        format!(r#"{{{HEAD},"headers":{{"a":"\n"}}}}"#),
        format!(r#"{{{HEAD},"body":"%","isBase64Encoded":true}}"#),
        r#"{"rawPath":"/a b","requestContext":{"http":{"method":"GET"}}}"#.to_owned(),
        r#"{"rawPath":"/","requestContext":{"http":{"method":"G T"}}}"#.to_owned(),
    ] {
        assert!(matches!(Event::parse(event.as_bytes()), Ok(Event::Malformed(_))), "{event}");
    }
}

fn objects(event: &str) -> (Vec<CreatedObject>, ReplyMode) {
    match Event::parse(event.as_bytes()).unwrap() {
        Event::Maintenance(MaintenanceJob::ObjectsCreated { objects, answer_by }) => (objects, answer_by),
        _ => panic!("not of objects: {event}"),
    }
}

fn object(message: &str, key: &str) -> CreatedObject {
    CreatedObject { message: message.to_owned(), bucket: "b".to_owned(), key: key.to_owned() }
}

#[test]
fn objects_come_from_s3_by_three_ways() {
    let s3 = r#"{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"b"},"object":{"key":"t/1/a%7Eb+c"}}}]}"#;
    assert_eq!(objects(s3), (vec![object("", "t/1/a~b c")], ReplyMode::Event));
    let queued = serde_json::json!({"Records": [
        {"messageId": "m1", "eventSource": "aws:sqs", "body": s3},
        {"messageId": "m2", "eventSource": "aws:sqs", "body": r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#},
        {"messageId": "m3", "eventSource": "aws:sqs", "body": "nonsense"},
    ]});
    assert_eq!(objects(&queued.to_string()), (vec![object("m1", "t/1/a~b c")], ReplyMode::Message));
    let bridged = r#"{"source":"aws.s3","detail":{"bucket":{"name":"b"},"object":{"key":"t/a%7E+"}}}"#;
    assert_eq!(objects(bridged), (vec![object("", "t/a%7E+")], ReplyMode::Event));
}

#[test]
fn everything_else_asks_for_what_is_due_or_is_refused() {
    for event in ["{}", r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#] {
        assert!(matches!(Event::parse(event.as_bytes()), Ok(Event::Maintenance(MaintenanceJob::Scheduled))), "{event}");
    }
    for event in ["", "[]", "1", r#"{"requestContext":{"elb":{}},"httpMethod":"GET","path":"/"}"#] {
        assert!(Event::parse(event.as_bytes()).is_err(), "{event}");
    }
}
