//! Whatever is written is read back, and nothing panics.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{Field, NOW, Point, parse, points};

/// A point and how to write it down.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) point: Point,
    pub(super) text: String,
}

/// Names with everything that is special somewhere; none ends with a backslash, which cannot be written.
fn name() -> impl Strategy<Value = String> {
    vec(prop::sample::select(r#"abcXYZ019,, ==\\"'#._-ä🦀"#.chars().collect::<Vec<_>>()), 1..6)
        .prop_map(|name| String::from_iter(name).trim_end_matches('\\').to_owned())
}

/// Few names, so that points share tables, columns and values; the prefix keeps their types apart.
fn shared(prefix: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(vec!["", "x", "y, =z", r"w\t\x"]).prop_map(str::to_owned), 1 => name()]
        .prop_map(move |name| format!("{prefix}{name}"))
}

fn field() -> impl Strategy<Value = (String, Field)> {
    let text = vec(prop::sample::select("ab ,=\"\"\\\\\n\r#ä🦀".chars().collect::<Vec<_>>()), 0..8);
    prop_oneof![
        (shared("d"), prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO)
            .prop_map(|(key, value)| (key, Field::Double(value))),
        (shared("d"), -1000_i32..1000, 0..4_i32)
            .prop_map(|(key, digits, scale)| (key, Field::Double(f64::from(digits) / 10_f64.powi(scale)))),
        (shared("i"), any::<i64>()).prop_map(|(key, value)| (key, Field::BigInt(value))),
        (shared("u"), any::<u64>()).prop_map(|(key, value)| (key, Field::BigIntUnsigned(value))),
        (shared("b"), any::<bool>()).prop_map(|(key, value)| (key, Field::Boolean(value))),
        (shared("s"), text).prop_map(|(key, value)| (key, Field::String(String::from_iter(value)))),
    ]
}

fn tag_value() -> impl Strategy<Value = String> {
    prop_oneof![3 => shared(""), 1 => name()]
}

/// Random points as lines. `style` decides among ways of writing that mean the same.
pub(super) fn written() -> impl Strategy<Value = Written> {
    let fields = vec(field(), 1..5).prop_map(BTreeMap::from_iter);
    let tags = btree_map(shared("t"), tag_value(), 0..4);
    (shared("m"), tags, fields, prop::option::of(any::<i64>()), any::<u64>()).prop_map(
        |(table, tags, fields, time, style)| {
            let point = Point { table, tags, fields, time: time.unwrap_or(NOW) };
            let text = line(&point, time, &mut Style(style));
            Written { point, text }
        },
    )
}

/// Small decisions, one after the other.
struct Style(u64);

impl Style {
    fn choose<'a>(&mut self, ways: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ways[(self.0 >> 33) as usize % ways.len()]
    }
}

fn line(point: &Point, time: Option<i64>, style: &mut Style) -> String {
    let mut line = escaped(&point.table, ", ");
    let backwards = style.choose(&["", "backwards"]) == "backwards";
    let mut tags: Vec<_> = point.tags.iter().collect();
    let mut fields: Vec<_> = point.fields.iter().collect();
    if backwards {
        tags.reverse();
        fields.reverse();
    }
    for (key, value) in tags {
        line.push_str(&format!(",{}={}", escaped(key, ", ="), escaped(value, ", =")));
    }
    line.push_str(style.choose(&[" ", " ", "  "]));
    for (index, (key, value)) in fields.into_iter().enumerate() {
        line.push_str(if index > 0 { "," } else { "" });
        line.push_str(&format!("{}={}", escaped(key, ", ="), value_text(value, style)));
    }
    if let Some(time) = time {
        line.push_str(&format!("{}{time}{}", style.choose(&[" ", "   "]), style.choose(&["", "", " "])));
    }
    line
}

fn escaped(name: &str, special: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if special.contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

fn value_text(value: &Field, style: &mut Style) -> String {
    match value {
        Field::Double(value) => match style.choose(&["shortest", "exponent", "long"]) {
            "shortest" => format!("{value}"),
            "exponent" => format!("{value:e}"),
            _ => format!("{value:.400}"),
        },
        Field::BigInt(value) => format!("{value}i"),
        Field::BigIntUnsigned(value) => format!("{value}u"),
        Field::Boolean(true) => style.choose(&["t", "T", "true", "True", "TRUE"]).to_owned(),
        Field::Boolean(false) => style.choose(&["f", "F", "false", "False", "FALSE"]).to_owned(),
        Field::String(value) => string_text(value, style),
    }
}

/// A backslash needs one before it only where the reader would take it for an escape.
fn string_text(value: &str, style: &mut Style) -> String {
    let mut text = String::from("\"");
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let plain = !matches!(characters.peek(), None | Some('"' | '\\'));
        if character == '"' || character == '\\' && (!plain || style.choose(&["escape", "plain"]) == "escape") {
            text.push('\\');
        }
        text.push(character);
    }
    text + "\""
}

/// The points of each table in turn, tables in order of first appearance.
pub(super) fn by_table(points: impl IntoIterator<Item = Point>) -> Vec<Point> {
    let mut tables: Vec<Vec<Point>> = Vec::new();
    for point in points {
        match tables.iter_mut().find(|table| table[0].table == point.table) {
            Some(table) => table.push(point),
            None => tables.push(vec![point]),
        }
    }
    tables.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(written in vec(written(), 1..20), style in any::<u64>()) {
        let mut style = Style(style);
        let mut body = String::new();
        for line in &written {
            body.push_str(style.choose(&["", "", " ", "\t", "\n", "# \"comment\\\n"]));
            body.push_str(&line.text);
            body.push_str(style.choose(&["\n", "\n", "\r\n", "\r"]));
        }
        let batches = parse(&body).map_err(|error| TestCaseError::fail(error.message))?;
        prop_assert_eq!(points(&batches), by_table(written.into_iter().map(|written| written.point)));
    }

    #[test]
    fn floats_are_rounded_correctly(
        sign in "[-+]?",
        digits in "([0-9]{1,25}|[0-9]{0,20}\\.[0-9]{1,20}|[0-9]{1,20}\\.)",
        exponent in "([eE][-+]?[0-9]{1,3})?",
    ) {
        let text = format!("{sign}{digits}{exponent}");
        let expected: f64 = text.parse().map_err(|_| TestCaseError::fail("not a float"))?;
        match parse(format!("m f={text} 1")) {
            // There is one zero.
            Ok(batches) => prop_assert_eq!(&points(&batches)[0].fields["f"], &Field::Double(expected + 0.0)),
            Err(error) => prop_assert!(expected.is_infinite(), "{}", error),
        }
    }

    #[test]
    fn bytes_never_panic(body in vec(any::<u8>(), 0..200)) {
        let _ = parse(body);
    }

    #[test]
    fn torn_bodies_never_panic(
        written in vec(written(), 1..5),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut body: Vec<u8> = written.iter().flat_map(|line| format!("{}\n", line.text).into_bytes()).collect();
        for (place, byte, edit) in edits {
            let place = place.index(body.len().max(1));
            match edit {
                0 => body.insert(place, byte),
                1 => body.truncate(place),
                _ => if let Some(target) = body.get_mut(place) { *target = byte },
            }
        }
        let _ = parse(body);
    }
}
