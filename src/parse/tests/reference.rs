//! Agreement with the crate `influxdb-line-protocol`, InfluxDB 2's reader, up to named differences.

use std::collections::BTreeMap;

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Field, NOW, Point, parse, points,
    properties::{by_table, written},
};
use crate::model::{Code, Error};

/// One body and what both readers make of it.
struct Case<'a> {
    body: &'a str,
    ours: Result<Vec<Point>, Error>,
    theirs: Result<Vec<Point>, String>,
}

impl Case<'_> {
    fn read(body: &str) -> Case<'_> {
        Case { body, ours: parse(body).map(|batches| points(&batches)), theirs: theirs(body) }
    }

    fn agree(&self) -> bool {
        match (&self.ours, &self.theirs) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (Err(_), Err(_)) => true,
            _ => false,
        }
    }

    fn we_refuse(&self, why: &str) -> bool {
        self.theirs.is_ok() && self.ours.as_ref().is_err_and(|error| error.message.contains(why))
    }

    fn they_refuse(&self) -> bool {
        self.theirs.is_err() && self.ours.is_ok()
    }
}

/// The crate's reading; it leaves repeated keys and missing timestamps to its caller.
fn theirs(body: &str) -> Result<Vec<Point>, String> {
    let lines: Result<Vec<ParsedLine<'_>>, _> = parse_lines(body).collect();
    Ok(by_table(lines.map_err(|error| error.to_string())?.iter().map(point)))
}

fn point(line: &ParsedLine<'_>) -> Point {
    let mut tags = BTreeMap::new();
    for (key, value) in line.series.tag_set.iter().flatten() {
        tags.entry(key.to_string()).or_insert_with(|| value.to_string());
    }
    let mut fields = BTreeMap::new();
    for (key, value) in &line.field_set {
        fields.entry(key.to_string()).or_insert_with(|| match value {
            // There is one zero.
            FieldValue::F64(value) => Field::Double(*value + 0.0),
            FieldValue::I64(value) => Field::BigInt(*value),
            FieldValue::U64(value) => Field::BigIntUnsigned(*value),
            FieldValue::Boolean(value) => Field::Boolean(*value),
            FieldValue::String(value) => Field::String(value.to_string()),
        });
    }
    Point { table: line.series.measurement.to_string(), tags, fields, time: line.timestamp.unwrap_or(NOW) }
}

/// A way in which the two may differ, with a body that shows it.
struct Difference {
    name: &'static str,
    #[expect(dead_code, reason = "says why the difference is wanted")]
    reason: &'static str,
    example: &'static str,
    explains: fn(&Case<'_>) -> bool,
}

/// Every difference there is. The first that explains a case counts.
const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "type conflict",
        reason: "the crate reads lines one by one and has no columns",
        example: "m f=1\nm f=1i",
        explains: |case| case.theirs.is_ok() && matches!(&case.ours, Err(error) if error.code == Code::TypeConflict),
    },
    Difference {
        name: "column named time",
        reason: "it would hide the time of the point",
        example: "m time=1",
        explains: |case| case.we_refuse("the name 'time' is reserved"),
    },
    Difference {
        name: "double too large",
        reason: "InfluxDB 1.8 knows no infinity; the crate reads one",
        example: "m f=1e999",
        explains: |case| case.we_refuse("does not fit in DOUBLE"),
    },
    Difference {
        name: "equals sign in a tag's value",
        reason: "InfluxDB 1.8 refuses it unless escaped",
        example: "m,t=a=b f=1",
        explains: |case| case.we_refuse("a '=' in the value of a tag"),
    },
    Difference {
        name: "comma in a key",
        reason: "InfluxDB 1.8 refuses it unless escaped; the crate takes it into the key",
        example: "m f=1,g,h=2",
        explains: |case| {
            let comma = |point: &Point| point.tags.keys().chain(point.fields.keys()).any(|key| key.contains(','));
            let missing = ["a tag has no '='", "a field has no '='", "a tag is missing", "a field is missing"];
            matches!(&case.theirs, Ok(points) if points.iter().any(comma))
                && missing.iter().any(|why| case.we_refuse(why))
        },
    },
    Difference {
        name: "comma after the last field",
        reason: "InfluxDB 1.8 refuses it; the crate overlooks it after a single field",
        example: "m f=1, 7",
        explains: |case| case.we_refuse("a field is missing"),
    },
    Difference {
        name: "empty value of a tag",
        reason: "CnosDB takes it, as the empty text",
        example: "m,t= f=1",
        explains: |case| {
            let follows = |(at, _): (usize, &str)| case.body[at + 1..].starts_with([',', ' ']);
            let escaped = |at: usize| case.body[..at].ends_with('\\');
            case.they_refuse() && case.body.match_indices('=').any(|equals| follows(equals) && !escaped(equals.0))
        },
    },
    Difference {
        name: "form of a number",
        reason: "InfluxDB 1.8 takes `.5` and `1.`, CnosDB a plus sign",
        example: "m f=.5",
        explains: |case| {
            case.they_refuse() && case.body.match_indices('=').any(|(at, _)| unusual(&case.body[at + 1..]))
        },
    },
    Difference {
        name: "spaces after the fields",
        reason: "InfluxDB 1.8 takes them; the crate expects a timestamp then",
        example: "m f=1 \nm f=2",
        explains: |case| case.they_refuse() && (case.body.contains(" \n") || case.body.ends_with(' ')),
    },
    Difference {
        name: "two backslashes in a name",
        reason: "InfluxDB 1.8 and CnosDB keep both; the crate makes them one",
        example: r"m,t=\\server f=1",
        explains: |case| case.body.contains(r"\\"),
    },
    Difference {
        name: "end of the line after a backslash",
        reason: "CnosDB refuses it; in the crate the line goes on",
        example: "m\\\nn f=1",
        explains: |case| case.body.contains("\\\n") || case.body.contains("\\\r"),
    },
    Difference {
        name: "carriage return",
        reason: "it ends a line in CnosDB; in the crate it is like a letter",
        example: "m f=1\rm f=2",
        explains: |case| case.body.contains('\r'),
    },
    Difference {
        name: "tab",
        reason: "part of a name in InfluxDB 1.8, and blank after the fields; neither in the crate",
        example: "m,t=a\tb f=1",
        explains: |case| case.body.contains('\t'),
    },
    Difference {
        name: "NUL",
        reason: "part of a table's name in InfluxDB 1.8; the crate refuses it there",
        example: "a\0b f=1",
        explains: |case| case.they_refuse() && case.body.contains('\0'),
    },
    Difference {
        name: "quote in a name after leading spaces",
        reason: "the crate splits lines as if fields began at the first space, and so sees a string there",
        example: " a=\"b f=1\nm f=1",
        explains: |case| case.body.contains('"') && case.body.lines().any(|line| line.starts_with(' ')),
    },
    Difference {
        name: "quotes in a comment",
        reason: "the crate reads comments as it does lines, so a quote makes one go on",
        example: "# f=\"\nm f=1\nm f=2",
        explains: |case| case.body.contains('#') && case.body.contains('"'),
    },
];

/// Whether a value begins as a number with a plus sign, or with a point that lacks digits on one side.
fn unusual(value: &str) -> bool {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let after = unsigned.trim_start_matches(|character: char| character.is_ascii_digit());
    let whole = unsigned.len() - after.len();
    let Some(fraction) = after.strip_prefix('.') else { return value.starts_with('+') };
    whole == 0 || !fraction.starts_with(|character: char| character.is_ascii_digit())
}

/// Fails unless the readers agree or a named difference says why they do not.
fn compare(body: &str) -> Result<(), TestCaseError> {
    let case = Case::read(body);
    let explained = case.agree() || DIFFERENCES.iter().any(|difference| (difference.explains)(&case));
    prop_assert!(explained, "{:?}\n  ours: {:?}\ntheirs: {:?}", body, case.ours, case.theirs);
    Ok(())
}

#[test]
fn every_difference_is_real() {
    for difference in DIFFERENCES {
        let case = Case::read(difference.example);
        assert!(!case.agree(), "{} is no difference", difference.name);
        let first = DIFFERENCES.iter().find(|other| (other.explains)(&case));
        assert_eq!(first.map(|first| first.name), Some(difference.name));
    }
}

/// What lines are made of, the telling pieces more often than the rare ones.
fn pieces() -> impl Strategy<Value = String> {
    let common =
        vec!["m", ",", ",", " ", " ", "=", "=", "t", "f", "a", "1", "2", "i", "u", "f=1", ",t=a", "m f=1", " 7"];
    let values = vec![
        "1.5", "-1", "1e3", "1i", "2u", "true", "\"a\"", "\"", "FALSE", "-", ".", "e", "\n", "\n", "\\ ", "\\,", "\\=",
    ];
    let rare = vec!["\\", "#", "+", "\r", "\t", "ä", "time", "nan", "'", "\\\"", "9223372036854775808", "1e400", "\0"];
    prop_oneof![
        6 => prop::sample::select(common),
        4 => prop::sample::select(values),
        1 => prop::sample::select(rare),
    ]
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_lines_are_read_alike(written in vec(written(), 1..4)) {
        let lines: Vec<String> = written.into_iter().map(|written| written.text).collect();
        compare(&lines.join("\n"))?;
    }

    #[test]
    fn mutated_lines_are_read_alike(
        written in vec(written(), 1..3),
        edits in vec((any::<prop::sample::Index>(), pieces(), 0..3), 1..4),
    ) {
        let lines: Vec<String> = written.into_iter().map(|written| written.text).collect();
        let mut characters: Vec<char> = lines.join("\n").chars().collect();
        for (place, piece, edit) in edits {
            let place = place.index(characters.len().max(1));
            let end = if edit == 0 { place } else { (place + 1).min(characters.len()) };
            let inserted = if edit == 2 { String::new() } else { piece };
            characters.splice(place.min(end)..end, inserted.chars());
        }
        compare(&String::from_iter(characters))?;
    }

    #[test]
    fn pieces_are_read_alike(pieces in vec(pieces(), 1..14)) {
        compare(&pieces.concat())?;
    }

    #[test]
    fn pieces_after_a_table_are_read_alike(pieces in vec(pieces(), 1..10)) {
        compare(&format!("m f={}", pieces.concat()))?;
        compare(&format!("m,t={} f=1", pieces.concat()))?;
    }
}
