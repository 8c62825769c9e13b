//! A password that AWS keeps: the setting holds its name, and the function fetches it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::{Request, send};
use crate::platform::{Function, Options};
use crate::server::Target;

/// Asks the emulator of AWS for an action of a service.
async fn ask(endpoint: &str, service: &str, action: &str, body: Value) -> Value {
    let request = Request::new("POST", "/", body.to_string())
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", action)
        .header("X-Amz-Date", "20261124T000000Z")
        .header(
            "Authorization",
            &format!(
                "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/{service}/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00"
            ),
        );
    let response = send(endpoint.trim_start_matches("http://"), &request).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).expect("JSON")
}

async fn status(function: &Function, password: &str) -> u16 {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("root:{password}"));
    let request = Request::new("POST", "/api/v1/sql", "select 1 as one");
    let request = request.header("Authorization", &format!("Basic {credentials}"));
    send(&function.address, &request).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_may_be_a_parameter_or_a_secret_of_aws() {
    let Ok(endpoint) = std::env::var("SILTDB_TEST_S3_ENDPOINT") else {
        eprintln!("SILTDB_TEST_S3_ENDPOINT is not set: not run (tests/run sets it)");
        return;
    };
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let name = format!("/siltdb/{unique}/root");
    let parameter = json!({"Name": name, "Value": "hunter2", "Type": "SecureString"});
    ask(&endpoint, "ssm", "AmazonSSM.PutParameter", parameter).await;
    let secret = json!({"Name": format!("siltdb-{unique}"), "SecretString": "hunter3"});
    let made = ask(&endpoint, "secretsmanager", "secretsmanager.CreateSecret", secret).await;
    let secret = made["ARN"].as_str().expect("an ARN").to_owned();
    let parameter = format!("arn:aws:ssm:us-east-1:123456789012:parameter{name}");
    for (arn, password) in [(parameter, "hunter2"), (secret, "hunter3")] {
        let function = Function::deploy(&target(&endpoint), Options::default().set("SILTDB_ROOT_PASSWORD", &arn)).await;
        assert_eq!(status(&function, password).await, 200, "{arn}\n{}", function.log());
        assert_eq!(status(&function, &arn).await, 401, "the name is not the password");
        assert!(!function.log().contains(password), "a password is in the log");
    }
    let missing = "arn:aws:ssm:us-east-1:123456789012:parameter/siltdb/missing";
    let function = Function::deploy(&target(&endpoint), Options::default().set("SILTDB_ROOT_PASSWORD", missing)).await;
    let failure = format!("{:?}", function.invoke(&json!({})).await.expect_err("no password, no door"));
    assert!(failure.contains("SILTDB_ROOT_PASSWORD") && failure.contains("ParameterNotFound"), "{failure}");
}

fn target(endpoint: &str) -> Target {
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Target { store: "memory:".to_owned(), environment }
}
