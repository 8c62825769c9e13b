//! Bodies, and what they say or why they are refused, word for word.

use super::{NOW, parse, parse_limited, parse_precise, points};
use crate::model::{Code, ColumnKind, Error, FieldType, Precision, Subject, limits::Limits, time::WritePrecision};
use crate::parse::{Options, located};

/// Bodies and their points.
const GOOD: &[(&str, &[&str])] = &[
    ("", &[]),
    ("\n\r\n \t\n# m f=1\n#", &[]),
    ("m f=1 7", &["m{} f=1.0 @7"]),
    ("m f=1", &["m{} f=1.0 @1234567890"]),
    ("m,t=a f=1 -7\n", &["m{t=\"a\"} f=1.0 @-7"]),
    (
        "m f=1 9223372036854775807\nm f=1 -9223372036854775808",
        &["m{} f=1.0 @9223372036854775807", "m{} f=1.0 @-9223372036854775808"],
    ),
    ("m f=1 00000000000000000000012", &["m{} f=1.0 @12"]),
    // blanks and ends of lines
    ("  \tm,t=a   f=1 \t  7 \t ", &["m{t=\"a\"} f=1.0 @7"]),
    ("m f=1  ", &["m{} f=1.0 @1234567890"]),
    ("m f=1 1\rm f=2 2\r\nm f=3 3\n\n\rm f=4 4", &["m{} f=1.0 @1", "m{} f=2.0 @2", "m{} f=3.0 @3", "m{} f=4.0 @4"]),
    ("#c \"\\\n m f=1 1\n  # c\rm f=2 2", &["m{} f=1.0 @1", "m{} f=2.0 @2"]),
    // names
    (r"a\,b\ c\=d\e\\f f=1 1", &[r"a,b c\=d\e\\f{} f=1.0 @1"]),
    (
        r"m,a\,b\ c\=d\e=C:\temp\x,u=\\server\\share f=1 1",
        &[r#"m{a,b c=d\e="C:\\temp\\x",u="\\\\server\\\\share"} f=1.0 @1"#],
    ),
    (r"m,t=a\\,b f=1 1", &[r#"m{t="a\\,b"} f=1.0 @1"#]),
    (r"m,t=a\=\,\  f\ \=\,=1 1", &[r#"m{t="a=, "} f =,=1.0 @1"#]),
    ("a=b,\"q\"=\"x\" \"f\"=1 1", &["a=b{\"q\"=\"\\\"x\\\"\"} \"f\"=1.0 @1"]),
    ("Wetter,Straße=Königsallee\\ 1 höhe=1 1", &["Wetter{Straße=\"Königsallee 1\"} höhe=1.0 @1"]),
    ("m\t,t=\t f\t=1 1", &["m\t{t=\"\\t\"} f\t=1.0 @1"]),
    // tags
    ("m,t= f=1 1\nm f=1 1", &["m{t=\"\"} f=1.0 @1", "m{} f=1.0 @1"]),
    (
        "m,b=2,a=1 f=1 1\nm,a=3 f=1 2\nm,c=4,a=1,b=2 f=1 3",
        &["m{a=\"1\",b=\"2\"} f=1.0 @1", "m{a=\"3\"} f=1.0 @2", "m{a=\"1\",b=\"2\",c=\"4\"} f=1.0 @3"],
    ),
    // the first of equals
    ("m,t=a,t=b f=1,f=2,f=3i 1\nm,t=a,t=b f=2,f=1 2", &["m{t=\"a\"} f=1.0 @1", "m{t=\"a\"} f=2.0 @2"]),
    // types
    (
        "m a=1,b=1.5,c=1e3,d=-1,e=.5,f=1.,g=-1.5E-3,h=+2 1",
        &["m{} a=1.0 b=1.5 c=1000.0 d=-1.0 e=0.5 f=1.0 g=-0.0015 h=2.0 @1"],
    ),
    (
        "m a=-0,b=0e999,c=1e-400,d=1.7976931348623157e308,e=5e-324,f=00000000000000000000001.5 1",
        &["m{} a=0.0 b=0.0 c=0.0 d=1.7976931348623157e308 e=5e-324 f=1.5 @1"],
    ),
    (
        "m a=9007199254740993,b=0.1234567890123456789,c=123456789012345678901234567890 1",
        &["m{} a=9007199254740992.0 b=0.12345678901234568 c=1.2345678901234568e29 @1"],
    ),
    (
        "m a=1i,b=-1i,c=9223372036854775807i,d=-9223372036854775808i,e=+00000000000000000000001i 1",
        &["m{} a=1i b=-1i c=9223372036854775807i d=-9223372036854775808i e=1i @1"],
    ),
    ("m a=0u,b=18446744073709551615u,c=00000000000000000000001u 1", &["m{} a=0u b=18446744073709551615u c=1u @1"]),
    (
        "m a=t,b=T,c=true,d=True,e=TRUE,f=f,g=F,h=false,i=False,j=FALSE 1",
        &["m{} a=true b=true c=true d=true e=true f=false g=false h=false i=false j=false @1"],
    ),
    (
        "m a=\"\",b=\"x, y=\nz\r #\",c=\"\\\"\\\\\\n\\\",d=\\\\\" 1\nm a=\"b\" 2",
        &["m{} a=\"\" b=\"x, y=\\nz\\r #\" c=\"\\\"\\\\\\\\n\\\",d=\\\\\" @1", "m{} a=\"b\" @2"],
    ),
    // tables in order of first appearance
    ("b f=1 1\na f=1i 2\nb f=3 3", &["b{} f=1.0 @1", "b{} f=3.0 @3", "a{} f=1i @2"]),
    // columns that come late, stay away, come back
    (
        "m a=1i 1\nm b=t 2\nm c=\"x\" 3\nm a=2i,d=1u 4\nm,t=x c=\"y\",b=f 5\nm a=3i 6",
        &[
            "m{} a=1i @1",
            "m{} b=true @2",
            "m{} c=\"x\" @3",
            "m{} a=2i d=1u @4",
            "m{t=\"x\"} b=false c=\"y\" @5",
            "m{} a=3i @6",
        ],
    ),
];

#[test]
fn good_bodies() {
    for (body, expected) in GOOD {
        let batches = parse(body).unwrap_or_else(|error| panic!("{body:?}: {error}"));
        let found: Vec<String> = points(&batches).iter().map(ToString::to_string).collect();
        assert_eq!(&found, expected, "{body:?}");
    }
}

/// Bodies and why they are refused; all but a few begin with `Error parsing message: `.
const BAD: &[(&str, &str)] = &[
    (",t=a f=1", "line 1, column 1: the name of the table is empty: ',t=a f=1'"),
    ("m", "line 1, column 2: the fields are missing: end of the line"),
    ("m\nf=1", "line 1, column 2: the fields are missing: end of the line"),
    ("m\\\nx f=1", "line 1, column 3: the fields are missing: end of the line"),
    ("m ", "line 1, column 3: the fields are missing: end of the line"),
    ("m,t=a", "line 1, column 6: the fields are missing: end of the line"),
    ("x f=1\r\n\r\n  m,t=a\r\n", "line 3, column 8: the fields are missing: end of the line"),
    ("m,t=a,f=1 7", "line 1, column 11: a field has no '=' and value: '7'"),
    ("m, f=1", "line 1, column 3: a tag is missing: ' f=1'"),
    ("m,,t=a f=1", "line 1, column 3: a tag is missing: ',t=a f=1'"),
    ("m,=a f=1", "line 1, column 3: the key of a tag is empty: '=a f=1'"),
    ("m,t f=1", "line 1, column 3: a tag has no '=' and value: 't f=1'"),
    ("m,t=a, f=1", "line 1, column 7: a tag is missing: ' f=1'"),
    ("m,t=a=b f=1", "line 1, column 5: a '=' in the value of a tag has to be written '\\=': 'a=b'"),
    ("m,t=a\nf=1", "line 1, column 6: the fields are missing: end of the line"),
    ("m,time=a f=1", "line 1, column 3: the name 'time' is reserved for the time of a point: 'time=a'"),
    ("m time=1", "line 1, column 3: the name 'time' is reserved for the time of a point: 'time=1'"),
    ("m f", "line 1, column 3: a field has no '=' and value: 'f'"),
    ("m ,f=1", "line 1, column 3: a field is missing: ',f=1'"),
    ("m =1", "line 1, column 3: the key of a field is empty: '=1'"),
    ("m f=", "line 1, column 5: the value of a field is missing: end of the line"),
    ("m f= 7", "line 1, column 5: the value of a field is missing: ' 7'"),
    ("m f=,g=1", "line 1, column 5: the value of a field is missing: ',g=1'"),
    ("m f=1,", "line 1, column 7: a field is missing: end of the line"),
    ("m f=1, g=1", "line 1, column 7: a field is missing: ' g=1'"),
    ("m f=1,g,h=1", "line 1, column 7: a field has no '=' and value: 'g,h=1'"),
    ("m f=\"a", "line 1, column 5: a string has no closing '\"': '\"a'"),
    ("m f=\"a\\\"\nm f=1", "line 1, column 5: a string has no closing '\"': '\"a\\\"'"),
    ("m f=\"a\"b 7", "line 1, column 8: a string has to be followed by ',', a space or the end of the line: 'b 7'"),
    ("m f=tru", "line 1, column 5: not a boolean (t, T, true, True, TRUE, f, F, false, False, FALSE): 'tru'"),
    ("m f=truely,g=1", "line 1, column 5: not a boolean (t, T, true, True, TRUE, f, F, false, False, FALSE): 'truely'"),
    ("m f=t1", "line 1, column 5: not a boolean (t, T, true, True, TRUE, f, F, false, False, FALSE): 't1'"),
    ("m f=1x2,g=3", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '1x2'"),
    ("m f=1.5i", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '1.5i'"),
    ("m f=.", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '.'"),
    ("m f=-", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '-'"),
    ("m f=1e", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '1e'"),
    ("m f=1e+,g=1", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '1e+'"),
    ("m f=e5", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): 'e5'"),
    ("m f=i", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): 'i'"),
    ("m f=--1", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): '--1'"),
    ("m f='a'", "line 1, column 5: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): ''a''"),
    ("m f=nan", "line 1, column 5: NaN and infinities are not supported as field values: 'nan'"),
    ("m f=-Infinity 1", "line 1, column 5: NaN and infinities are not supported as field values: '-Infinity'"),
    ("m f=1e999", "line 1, column 5: the number does not fit in DOUBLE: '1e999'"),
    (
        "m f=9223372036854775808i",
        "line 1, column 5: the number does not fit in BIGINT (-2^63 to 2^63 - 1): '9223372036854775808i'",
    ),
    (
        "m f=-9223372036854775809i",
        "line 1, column 5: the number does not fit in BIGINT (-2^63 to 2^63 - 1): '-9223372036854775809i'",
    ),
    (
        "m f=18446744073709551616u",
        "line 1, column 5: the number does not fit in BIGINT UNSIGNED (0 to 2^64 - 1): '18446744073709551616u'",
    ),
    ("m f=-1u", "line 1, column 5: an unsigned integer has no '-': '-1u'"),
    ("m f=1 x", "line 1, column 7: a timestamp is a whole number: 'x'"),
    ("m f=1 12x", "line 1, column 7: a timestamp is a whole number: '12x'"),
    ("m f=1 1.5\nm f=2", "line 1, column 7: a timestamp is a whole number: '1.5'"),
    ("m f=1 -", "line 1, column 7: a timestamp is a whole number: '-'"),
    ("m f=1 +1", "line 1, column 7: a timestamp is a whole number: '+1'"),
    ("m f=1 ,g=2", "line 1, column 7: a timestamp is a whole number: ',g=2'"),
    ("m f=1 12  x y", "line 1, column 11: nothing may follow the timestamp: 'x y'"),
    // lines inside strings count, columns are characters, long text is cut, control characters show
    ("m f=\"a\nb\",g= 1", "line 2, column 6: the value of a field is missing: ' 1'"),
    ("größe,ß=ü f=ö", "line 1, column 13: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): 'ö'"),
    ("m f=1 \x07x", "line 1, column 7: a timestamp is a whole number: '\\u{7}x'"),
    (
        "m f=1 abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
        "line 1, column 7: a timestamp is a whole number: 'abcdefghijklmnopqrstuvwxyzabcdefghijklmn…'",
    ),
    // the last of many lines
    ("m f=1\n#x\nm f=2\rm,t=a f=y", "line 4, column 9: not a value of a field (like 1.5, 1i, 1u, true, \"text\"): 'y'"),
];

#[test]
fn bad_bodies() {
    for (body, expected) in BAD {
        let error = parse(body).expect_err(body);
        assert_eq!(error.message, format!("Error parsing message: {expected}"), "{body:?}");
        assert_eq!(error.code, Code::LineProtocol, "{body:?}");
    }
}

#[test]
fn type_conflicts() {
    let cases = [
        (
            "m f=1i 1\n\nm f=1.0 2",
            "line 3, column 3: Column 'f' type error, found DOUBLE expected BIGINT (table 'm', earlier in this body): 'f=1.0'",
        ),
        (
            "m f=\"x\"\nm f=1u",
            "line 2, column 3: Column 'f' type error, found BIGINT UNSIGNED expected STRING (table 'm', earlier in this body): 'f=1u'",
        ),
        (
            "m f=t\nm f=\"x\"",
            "line 2, column 3: Column 'f' type error, found STRING expected BOOLEAN (table 'm', earlier in this body): 'f=\"x\"'",
        ),
        (
            "m,a=x f=1\nm a=1",
            "line 2, column 3: Column 'a' type error, found DOUBLE expected TAG (table 'm', earlier in this body): 'a=1'",
        ),
        (
            "m f=1\nm,f=x g=1",
            "line 2, column 3: Column 'f' type error, found TAG expected DOUBLE (table 'm', earlier in this body): 'f=x'",
        ),
        (
            "m,a=x a=1",
            "line 1, column 7: Column 'a' type error, found DOUBLE expected TAG (table 'm', earlier in this body): 'a=1'",
        ),
    ];
    for (body, expected) in cases {
        let error = parse(body).expect_err(body);
        assert_eq!(
            (error.code, error.message),
            (Code::TypeConflict, format!("DataSchemaError: {expected}")),
            "{body:?}"
        );
    }
}

/// What others complain about is found in the body: the first place of it, though names are escaped there.
#[test]
fn places_of_what_others_refuse() {
    let subject = |table: &str, column: Option<&str>, time: Option<i64>| Subject {
        table: table.to_owned(),
        column: column.map(str::to_owned),
        time,
    };
    let body =
        "# first\nm,h=a é=1i,v=1i 1\n\nother f=\"two\nlines\" 1\r\nm,h=b\\ c v=2i,a\\,b=3 7\nold\\ one,x=y v=1 7";
    let limits = Limits::default();
    let (write_precision, database_precision) = (WritePrecision::Millisecond, Precision::Nanosecond);
    let options = Options { write_precision, database_precision, now: NOW, limits: &limits };
    let seven = Some(7_000_000);
    for (subject, message, expected) in [
        (subject("m", Some("v"), None), "Bad: 'v' (table 'm')", "Bad: line 2, column 12: 'v' (table 'm'): 'v=1i'"),
        (subject("m", Some("h"), None), "Bad: so: \"h\"", "Bad: so: line 2, column 3: \"h\": 'h=a'"),
        (subject("m", Some("a,b"), None), "no kind 'x: y'", "line 6, column 15: no kind 'x: y': 'a\\'"),
        (subject("old one", None, None), "Bad: table", "Bad: line 7, column 1: table: 'old\\'"),
        (subject("m", None, seven), "Bad: time", "Bad: line 6, column 1: time: 'm'"),
        (subject("old one", None, seven), "Bad: time", "Bad: line 7, column 1: time: 'old\\'"),
        (subject("m", None, Some(2)), "Bad: time", "Bad: time"),
        (subject("m", Some("x"), None), "Bad: x", "Bad: x"),
        (subject("absent", None, None), "Bad: absent", "Bad: absent"),
    ] {
        let error = Error::new(Code::TypeConflict, message).about(subject);
        assert_eq!(located(error, body.as_bytes(), &options).message, expected);
    }
    let plain = Error::new(Code::Internal, "Bad: 'v'");
    assert_eq!(located(plain.clone(), body.as_bytes(), &options), plain);
}

#[test]
fn one_byte_order_mark_in_front_is_skipped() {
    let marked = parse("\u{feff}m f=1 1\n\u{feff}m f=1 1").unwrap();
    assert_eq!(marked.iter().map(|batch| batch.table.as_str()).collect::<Vec<_>>(), ["m", "\u{feff}m"]);
    assert_eq!(parse("\u{feff}\u{feff}m f=1").unwrap()[0].table, "\u{feff}m");
    assert!(parse("\u{feff}").unwrap().is_empty());
    assert!(parse("\u{feff}# a comment\n").unwrap().is_empty());
    let error = parse("\u{feff}m f=x").unwrap_err();
    assert!(error.message.contains("line 1, column 5: "), "{}", error.message);
}

#[test]
fn timestamps_are_converted() {
    let limits = Limits::default();
    let cases = [
        (WritePrecision::Second, Precision::Nanosecond, "-2", -2_000_000_000),
        (WritePrecision::Millisecond, Precision::Microsecond, "3", 3_000),
        (WritePrecision::Nanosecond, Precision::Millisecond, "1999999", 1),
        (WritePrecision::Second, Precision::Millisecond, "", NOW / 1_000_000),
        (WritePrecision::Millisecond, Precision::Nanosecond, "", NOW),
    ];
    for (write, database, timestamp, expected) in cases {
        let batches = parse_precise(format!("m f=1 {timestamp}"), &limits, write, database).unwrap();
        assert_eq!(batches[0].time.value(0), expected);
    }
}

#[test]
fn timestamps_that_do_not_fit() {
    let limits = Limits::default();
    let cases = [
        (
            WritePrecision::Nanosecond,
            "9223372036854775808",
            "the timestamp does not fit in 64 bits: '9223372036854775808'",
        ),
        (
            WritePrecision::Nanosecond,
            "-99999999999999999999999",
            "the timestamp does not fit in 64 bits: '-99999999999999999999999'",
        ),
        (
            WritePrecision::Second,
            "9223372037",
            "the timestamp does not fit in the precision of the database: '9223372037'",
        ),
    ];
    for (write, timestamp, expected) in cases {
        let body = format!("m f=1 1\nm f=1 {timestamp} ");
        let error = parse_precise(body, &limits, write, Precision::Nanosecond).unwrap_err();
        assert_eq!(error.code, Code::TimestampOverflow);
        assert_eq!(error.message, format!("Timestamp overflow: line 2, column 7: {expected}"));
    }
}

#[test]
fn bodies_that_are_not_text() {
    let error = parse(b"m f=1\nm,t=\xc3\xa4\xff f=1").unwrap_err();
    assert_eq!(error.code, Code::NotUtf8);
    assert_eq!(error.message, "Error parsing message: line 2, column 6: the body is not UTF-8: byte 0xff");
    assert_eq!(parse(b"m f=\"\xe2\x82").unwrap_err().code, Code::NotUtf8);
}

#[test]
fn each_limit_has_its_error() {
    let limits = Limits {
        line_bytes: 20,
        tags_per_line: 2,
        fields_per_line: 2,
        columns_per_table: 5,
        tables_per_database: 2,
        ..Limits::default()
    };
    assert!(parse_limited("m,a=1,b=2 c=1,d=2 \n".repeat(3), &limits).is_ok());
    let cases = [
        ("m f=1\nm f=1,ggggggggg=22222", "line 2, column 1: the line is longer than 20 bytes: 'm f=1,ggggggggg=22222'"),
        ("m,a=1,b=2,c=3 f=1", "line 1, column 11: the line has more than 2 tags: 'c=3'"),
        ("m,a=1,a=2,a=3 f=1", "line 1, column 11: the line has more than 2 tags: 'a=3'"),
        ("m a=1,b=2,c=3", "line 1, column 11: the line has more than 2 fields: 'c=3'"),
        (
            "m a=1,b=2\nm c=1,d=2\nm e=1",
            "line 3, column 3: table 'm' has more than 5 columns, time included, in this body: 'e=1'",
        ),
        ("a f=1\nb f=1\na f=1\nc f=1", "line 4, column 1: the body has more than 2 tables: 'c'"),
    ];
    for (body, expected) in cases {
        let error = parse_limited(body, &limits).expect_err(body);
        assert_eq!(error.code, Code::LineProtocol);
        assert_eq!(error.message, format!("Error parsing message: {expected}"));
    }
}

#[test]
fn memory_stays_in_proportion() {
    // Four thousand columns of one value each, then points with hardly any: no array is that sparse.
    let mut body = String::new();
    for column in 0..4_000 {
        body.push_str(&format!("m f{column}=1i\n"));
    }
    body.push_str(&"m f0=1i\n".repeat(20_000));
    let error = parse(body).unwrap_err();
    assert_eq!(error.code, Code::LineProtocol);
    assert!(error.message.contains("too many points lack too many columns"), "{error}");
}

#[test]
fn columns_keep_order_and_type() {
    let batches = parse("m,b=1,a=2 y=1i,x=\"s\" 1\nm,c=1 x=\"t\",w=t,v=1u,u=.5 2").unwrap();
    let columns: Vec<_> = batches[0].columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    let field = ColumnKind::Field;
    let expected = vec![
        ("b", ColumnKind::Tag),
        ("a", ColumnKind::Tag),
        ("y", field(FieldType::BigInt)),
        ("x", field(FieldType::String)),
        ("c", ColumnKind::Tag),
        ("w", field(FieldType::Boolean)),
        ("v", field(FieldType::BigIntUnsigned)),
        ("u", field(FieldType::Double)),
    ];
    assert_eq!(columns, expected);
    for column in batches[0].columns.iter() {
        if let ColumnKind::Field(field_type) = column.kind {
            assert_eq!(column.values.data_type(), &field_type.storage_type());
        }
    }
}

#[test]
fn many_series_with_and_without_repetition() {
    // Enough of them that remembering series is given up; then the same ones again.
    let mut body = String::new();
    for round in 0..2 {
        for host in 0..3_000 {
            body.push_str(&format!("cpu,host=h{host},zone=z{} usage={host}i {round}\n", host % 7));
        }
    }
    let points = points(&parse(body).unwrap());
    assert_eq!(points.len(), 6_000);
    for (index, point) in points.iter().enumerate() {
        let host = index % 3_000;
        let expected = format!("cpu{{host=\"h{host}\",zone=\"z{}\"}} usage={host}i @{}", host % 7, index / 3_000);
        assert_eq!(point.to_string(), expected);
    }
}
