use super::*;

fn caller(user: &str) -> CallerLabels<'_> {
    CallerLabels { tenant: "cnosdb", user, database: Some("public"), api: "api/v1/write" }
}

#[test]
fn a_page_has_cnosdbs_names_and_labels() {
    let metrics = Metrics::new("127.0.0.1:8902");
    metrics.write(&caller("root"), Duration::from_millis(3));
    metrics.write(&caller("root"), Duration::from_secs(60));
    metrics.data(&caller("root"), 100, 7);
    metrics.query(&CallerLabels { database: None, api: "api/v1/sql", ..caller("root") }, Duration::from_micros(1));
    metrics.request("api/v1/write", 200, 107, Duration::from_millis(3));
    let reading = |operation, value| GaugeReading {
        name: "siltdb_store_requests_total",
        help: "Requests to the object store",
        kind: FamilyKind::Counter,
        labels: vec![("operation", operation)],
        value,
    };
    let page = metrics.render(&[reading("get", 5), reading("put", 6)]);
    let labels = "tenant=\"cnosdb\",user=\"root\",database=\"public\",host=\"127.0.0.1:8902\",api=\"api/v1/write\"";
    for line in [
        "# TYPE http_writes counter".to_owned(),
        format!("http_writes{{{labels}}} 2"),
        format!("http_data_in{{{labels}}} 100"),
        format!("http_data_out{{{labels}}} 7"),
        "# TYPE http_write_duration_seconds histogram".to_owned(),
        format!("http_write_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 0"),
        format!("http_write_duration_seconds_bucket{{{labels},le=\"0.005\"}} 1"),
        format!("http_write_duration_seconds_bucket{{{labels},le=\"10\"}} 1"),
        format!("http_write_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
        format!("http_write_duration_seconds_sum{{{labels}}} 60.003"),
        format!("http_write_duration_seconds_count{{{labels}}} 2"),
        "http_queries{tenant=\"cnosdb\",user=\"root\",host=\"127.0.0.1:8902\",api=\"api/v1/sql\"} 1".to_owned(),
        "http_flow{host=\"127.0.0.1:8902\",api=\"api/v1/write\"} 107".to_owned(),
        "siltdb_http_responses_total{api=\"api/v1/write\",status=\"200\"} 1".to_owned(),
        "siltdb_store_requests_total{operation=\"get\"} 5".to_owned(),
        "siltdb_store_requests_total{operation=\"put\"} 6".to_owned(),
    ] {
        assert!(page.lines().any(|other| other == line), "{line}\n{page}");
    }
    assert_eq!(page.matches("# HELP siltdb_store_requests_total").count(), 1);
    assert!(page.ends_with('\n'));
}

#[test]
fn labels_are_escaped_and_bounded() {
    let metrics = Metrics::new("h");
    for number in 0..2 * MAXIMUM_SETS {
        metrics.write(&caller(&format!("u{number}")), Duration::ZERO);
    }
    let page = metrics.render(&[]);
    let series = page.lines().filter(|line| line.starts_with("http_writes{")).count();
    assert_eq!(series, MAXIMUM_SETS + 1);
    assert!(page.contains("user=\"other\""));
    assert_eq!(exposition::labels(&[("user", "a\"b\\c\nd")]), "user=\"a\\\"b\\\\c\\nd\"");
}
