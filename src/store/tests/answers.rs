//! What the S3 client makes of a server's answers, and what the room makes of that.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Status and body; `None` is no answer at all.
type Answer = Option<(u16, &'static str)>;
type Answers = Arc<Mutex<VecDeque<Answer>>>;

/// A server that gives prepared answers in turn, whatever is asked.
struct Scripted {
    store: Store,
    seen: Arc<Mutex<Vec<String>>>,
}

async fn server(answers: Vec<Answer>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(connection, Arc::clone(&answers), Arc::clone(&requests)));
        }
    });
    let store = s3_bucket(&endpoint, "bucket", "root").with_deadline(Duration::from_secs(4));
    Scripted { store, seen }
}

async fn serve(mut connection: TcpStream, answers: Answers, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let head = loop {
        let read = connection.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                break head.lines().next().unwrap().to_owned();
            }
        }
    };
    seen.lock().unwrap().push(head);
    let answer = answers.lock().unwrap().pop_front().expect("another request than was prepared for");
    let Some((status, body)) = answer else { return std::future::pending().await };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Prepared\r\nContent-Length: {length}\r\nETag: \"e\"\r\n\
         Last-Modified: Tue, 24 Nov 2026 11:00:00 GMT\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = connection.write_all(answer.as_bytes()).await;
}

#[tokio::test]
async fn conflicts_are_settled_by_reading_back() {
    // T1: a conflict in which nothing landed.
    let t1 = server(vec![Some((409, "")), Some((404, "")), Some((200, ""))]).await;
    assert_eq!(t1.store.create("k", bytes("mine")).await, CreateOutcome::Created);
    let seen = t1.seen.lock().unwrap().clone();
    assert_eq!(seen, ["put /bucket/root/k http/1.1", "get /bucket/root/k http/1.1", "put /bucket/root/k http/1.1"]);
    // T2: our own first attempt was applied.
    let t2 = server(vec![Some((500, "")), Some((412, "")), Some((200, "mine"))]).await;
    assert_eq!(t2.store.create("k", bytes("mine")).await, CreateOutcome::Created);
    let cost = t2.store.totals().snapshot();
    assert_eq!((cost.puts, cost.gets), (2, 1), "the client repeats nothing by itself");
    let other = server(vec![Some((412, "")), Some((200, "theirs"))]).await;
    assert_eq!(other.store.create("k", bytes("mine")).await, CreateOutcome::Taken(bytes("theirs")));
    let silent = server(vec![None, Some((412, "")), Some((200, "mine"))]).await;
    assert_eq!(silent.store.create("k", bytes("mine")).await, CreateOutcome::Created);
}

#[tokio::test]
async fn a_refusal_names_the_key_and_no_secret() {
    let refusal = "<Error><Code>InvalidAccessKeyId</Code><Message>No such key</Message>\
                   <AWSAccessKeyId>AKIAHUNTER2</AWSAccessKeyId></Error>";
    let server = server(vec![Some((403, refusal)); 4]).await;
    let CreateOutcome::Unknown(error) = server.store.create("a/k", bytes("x")).await else { panic!("known") };
    let errors = [
        error,
        server.store.get("a/k").await.unwrap_err(),
        server.store.list("a/k", None).await.unwrap_err(),
        server.store.delete("a/k").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code, Code::StoreRefused, "{error}");
        assert!(error.message.contains("a/k") && error.message.contains("403 InvalidAccessKeyId"), "{error}");
        assert!(!error.message.contains("AKIAHUNTER2"), "{error}");
    }
}

#[tokio::test]
async fn transient_answers_are_repeated() {
    let slow = "<Error><Code>SlowDown</Code><Message>slow</Message></Error>";
    let denied = "<DeleteResult><Error><Key>root/k</Key><Code>AccessDenied</Code><Message>no</Message></Error>\
                  </DeleteResult>";
    let server = server(vec![
        Some((503, slow)),
        Some((429, "")),
        Some((200, "here")),
        Some((400, "<Error><Code>RequestTimeout</Code><Message>m</Message></Error>")),
        Some((200, "")),
        Some((200, denied)),
    ])
    .await;
    assert_eq!(server.store.get("k").await.unwrap(), Some(bytes("here")));
    server.store.overwrite("k", bytes("x")).await.unwrap();
    let error = server.store.delete("k").await.unwrap_err();
    assert!(error.message.contains("AccessDenied"), "{error}");
    assert_eq!(server.seen.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn an_error_inside_a_success_is_one() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let failed = "<Error><Code>InternalError</Code><Message>m</Message></Error>";
    let completed = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    let server =
        server(vec![Some((200, begun)), Some((200, "")), Some((200, "")), Some((200, failed)), Some((200, completed))])
            .await;
    // Parts of 8 MiB take an unoptimised client and a busy machine their time.
    let mut upload = server.store.with_deadline(Duration::from_secs(120)).upload("k").unwrap();
    upload.write(vec![0; PART_BYTES + 1].into()).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(server.seen.lock().unwrap().len(), 5);
}
