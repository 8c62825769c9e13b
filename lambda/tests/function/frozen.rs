//! Processes that are stopped in the middle of a write, thawed later or killed. What was acknowledged
//! is there, once; what was not can be written again.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::platform::{Function, Options, write_to};
use crate::server::Target;

const ATTEMPTS: usize = 24;

/// From before the first request of a write to after its last.
fn pause(attempt: usize) -> Duration {
    Duration::from_micros(500 + 700 * attempt as u64)
}

fn line(attempt: usize) -> String {
    format!("air,station=s{attempt} temperature={attempt}i,new{attempt}={attempt}i {attempt}")
}

/// Each point once, with its value.
async fn verify(reader: &Function, attempts: usize) {
    let answer = reader.answer("select station, temperature from air order by temperature").await;
    let expected: String = (0..attempts).map(|attempt| format!("s{attempt},{attempt}\n")).collect();
    assert_eq!(answer, format!("station,temperature\n{expected}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_writes_takes_nothing_with_it() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let function = Function::deploy(&target, Options::default()).await;
    let reader = Function::deploy(&target, Options::default()).await;
    assert_eq!(function.write("other x=1 1").await.status, 200);
    let mut killed = 0;
    for attempt in 0..ATTEMPTS {
        // So that the process is warm and the kill meets the write.
        assert_eq!(function.answer("select 1 as one").await, "one\n1\n");
        let address = function.address.clone();
        let write = tokio::spawn(async move { write_to(&address, line(attempt)).await });
        tokio::time::sleep(pause(attempt)).await;
        function.forget();
        let answered = write.await.expect("a client ends");
        if !matches!(&answered, Ok(response) if response.status == 200) {
            killed += 1;
            let response = function.write(line(attempt)).await;
            assert_eq!(response.status, 200, "{}", response.text());
        }
        verify(&reader, attempt + 1).await;
    }
    assert!(killed >= 3, "only {killed} writes were met");
    target.check();
    target.maintain();
    verify(&reader, ATTEMPTS).await;
    target.check();
    crate::say(&format!("{killed} of {ATTEMPTS} writes were killed before they were acknowledged"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_frozen_while_it_writes_goes_on_where_it_was() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let function = Arc::new(Function::deploy(&target, Options::default()).await);
    let others = Function::deploy(&target, Options::default()).await;
    assert_eq!(function.write("other x=1 1").await.status, 200);
    for attempt in 0..ATTEMPTS {
        assert_eq!(function.answer("select 1 as one").await, "one\n1\n");
        let process = function.environments().pop().expect("a warm process");
        let write = tokio::spawn({
            let function = function.clone();
            async move { function.write(line(attempt)).await }
        });
        tokio::time::sleep(pause(attempt)).await;
        let met = process.is_busy();
        if met {
            process.signal("STOP");
            // Meanwhile others write, and close the epoch that the frozen one began in.
            assert_eq!(others.write(format!("other x={attempt} {attempt}")).await.status, 200);
            target.flush();
            process.signal("CONT");
        }
        assert_eq!(write.await.expect("a client ends").status, 200, "attempt {attempt}");
        verify(&others, attempt + 1).await;
    }
    target.check();
    target.maintain();
    verify(&others, ATTEMPTS).await;
    target.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_long_does_not_believe_what_it_knew() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let sleeper = Function::deploy(&target, Options::default()).await;
    let others = Function::deploy(&target, Options::default()).await;
    assert_eq!(sleeper.write("air,station=s0 temperature=0i 0").await.status, 200);
    let process = sleeper.environments().pop().expect("a process");
    assert_eq!(others.write("air,station=s1 temperature=1i 1").await.status, 200);
    assert_eq!(others.sql("create database more").await.status, 200);
    target.collect_at_once();
    // Still the process of the first write, which has been stopped all the while.
    verify(&sleeper, 2).await;
    assert_eq!(sleeper.write("air,station=s2 temperature=2i 2").await.status, 200);
    verify(&others, 3).await;
    assert_eq!(sleeper.answer("show databases").await, "database_name\nmore\npublic\n");
    assert_eq!(sleeper.environments().pop().expect("a process").pid, process.pid);
    target.check();
}
