//! The names of parameters: which route knows which, and what is said of any other.
//!
//! A name that nobody knows is refused: ignored, `database=x` would write to `public` and `precison=ms`
//! would store 1970. Ping and metrics answer the same whatever they are asked, so they look at none.

use crate::model::{Code, Error, Result};

/// The routes that have parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedRoute {
    Write,
    Sql,
    Influx,
}

impl NamedRoute {
    pub const ALL: &[NamedRoute] = &[NamedRoute::Write, NamedRoute::Sql, NamedRoute::Influx];

    /// The path, as the routes' table has it.
    pub fn path(self) -> &'static str {
        match self {
            NamedRoute::Write => "/api/v1/write",
            NamedRoute::Sql => "/api/v1/sql",
            NamedRoute::Influx => "/write",
        }
    }
}

/// The parameters that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    Tenant,
    Database,
    Precision,
    Chunked,
    TargetPartitions,
    StreamTriggerInterval,
}

/// A name, what it means (`None`: clients send it, and it changes nothing) and on which routes.
type Known = (&'static str, Option<Parameter>, &'static [NamedRoute]);

const ALL: &[NamedRoute] = NamedRoute::ALL;
const WRITES: &[NamedRoute] = &[NamedRoute::Write, NamedRoute::Influx];

/// The one table of names.
const NAMES: [Known; 15] = [
    ("tenant", Some(Parameter::Tenant), ALL),
    ("db", Some(Parameter::Database), ALL),
    ("precision", Some(Parameter::Precision), WRITES),
    ("chunked", Some(Parameter::Chunked), &[NamedRoute::Sql]),
    ("target_partitions", Some(Parameter::TargetPartitions), &[NamedRoute::Sql]),
    ("stream_trigger_interval", Some(Parameter::StreamTriggerInterval), &[NamedRoute::Sql]),
    // CnosDB's samples and its connector for Python send it with every request.
    ("pretty", None, ALL),
    // InfluxDB's: a retention policy, how many copies to wait for, an organisation, credentials (which
    // count only in the header here), and the form of results that a write does not have.
    ("rp", None, ALL),
    ("consistency", None, WRITES),
    ("org", None, ALL),
    ("u", None, ALL),
    ("p", None, ALL),
    ("chunked", None, &[NamedRoute::Influx]),
    ("chunk_size", None, &[NamedRoute::Sql, NamedRoute::Influx]),
    ("epoch", None, &[NamedRoute::Sql, NamedRoute::Influx]),
];

/// What other databases call a parameter of ours.
const ELSEWHERE: [(&str, &str); 7] = [
    ("database", "db"),
    ("db_name", "db"),
    ("dbname", "db"),
    ("bucket", "db"),
    ("namespace", "db"),
    ("time_precision", "precision"),
    ("unit", "precision"),
];

/// Characters of a name that an error repeats.
const REPEATED_CHARACTERS: usize = 60;

/// What a name means to a route; `None` when it may be there and means nothing.
///
/// # Errors
/// [`Code::BadRequest`] for every name that is not in the table for this route.
pub fn meaning(route: NamedRoute, name: &str) -> Result<Option<Parameter>> {
    let known = NAMES.iter().find(|(known, _, routes)| *known == name && routes.contains(&route));
    known.map(|(_, meaning, _)| *meaning).ok_or_else(|| unknown(route, name))
}

fn unknown(route: NamedRoute, name: &str) -> Error {
    let shown: String = name.chars().take(REPEATED_CHARACTERS).flat_map(char::escape_debug).collect();
    let path = route.path();
    let elsewhere: Vec<&str> = NAMES
        .iter()
        .filter(|(known, meaning, _)| *known == name && meaning.is_some())
        .flat_map(|(_, _, routes)| routes.iter().map(|route| route.path()))
        .collect();
    let what = match (elsewhere.is_empty(), nearest(route, name)) {
        (false, _) => format!("the parameter '{shown}' means nothing to {path}, it belongs to {}", list(&elsewhere)),
        (true, Some(near)) => format!("the parameter '{shown}' is unknown, did you mean '{near}'?"),
        (true, None) => format!("the parameter '{shown}' is unknown"),
    };
    let end = if what.ends_with('?') { "" } else { "." };
    let (known, ignored) = (names(route, true), names(route, false));
    let message = format!("{what}{end} {path} knows {}; it ignores {}", list(&known), list(&ignored));
    Error::new(Code::BadRequest, message)
}

/// The names that a route knows or, with `false`, ignores.
pub fn names(route: NamedRoute, known: bool) -> Vec<&'static str> {
    let here = NAMES.iter().filter(|(_, meaning, routes)| routes.contains(&route) && meaning.is_some() == known);
    here.map(|(name, ..)| *name).collect()
}

/// The name that was probably meant: by another database's word for it, or by its letters.
fn nearest(route: NamedRoute, name: &str) -> Option<&'static str> {
    let written = name.trim().to_ascii_lowercase();
    let here = names(route, true);
    if let Some((_, ours)) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == written) {
        return here.into_iter().find(|known| known == ours);
    }
    let distances = here.into_iter().map(|known| (strsim::osa_distance(&written, known), known));
    // One letter in three may be wrong: `pb` is nobody's `db`, `precison` is a `precision`.
    distances.min().filter(|(distance, known)| distance * 3 <= known.len()).map(|(_, known)| known)
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(route: NamedRoute, name: &str) -> String {
        let error = meaning(route, name).unwrap_err();
        assert_eq!(error.code, Code::BadRequest);
        error.message
    }

    #[test]
    fn each_route_has_its_names() {
        assert_eq!(meaning(NamedRoute::Write, "precision"), Ok(Some(Parameter::Precision)));
        assert_eq!(meaning(NamedRoute::Sql, "chunked"), Ok(Some(Parameter::Chunked)));
        assert_eq!(meaning(NamedRoute::Influx, "chunked"), Ok(None));
        for name in ["pretty", "rp", "org", "u", "p"] {
            assert_eq!(ALL.iter().map(|route| meaning(*route, name)).collect::<Result<Vec<_>>>(), Ok(vec![None; 3]));
        }
        for (place, (name, _, routes)) in NAMES.iter().enumerate() {
            let again = NAMES[..place]
                .iter()
                .any(|(other, _, others)| other == name && routes.iter().any(|route| others.contains(route)));
            assert!(!again, "{name} has two meanings on one route");
        }
    }

    #[test]
    fn what_is_unknown_is_named_with_what_was_meant() {
        assert_eq!(
            refused(NamedRoute::Write, "precison"),
            "the parameter 'precison' is unknown, did you mean 'precision'? /api/v1/write knows tenant, db and \
             precision; it ignores pretty, rp, consistency, org, u and p"
        );
        assert_eq!(
            refused(NamedRoute::Sql, "precision"),
            "the parameter 'precision' means nothing to /api/v1/sql, it belongs to /api/v1/write and /write. \
             /api/v1/sql knows tenant, db, chunked, target_partitions and stream_trigger_interval; it ignores pretty, \
             rp, org, u, p, chunk_size and epoch"
        );
        for (route, name, meant) in [
            (NamedRoute::Write, "database", Some("db")),
            (NamedRoute::Influx, "bucket", Some("db")),
            (NamedRoute::Sql, "DB", Some("db")),
            (NamedRoute::Sql, "tennant", Some("tenant")),
            (NamedRoute::Sql, "chunk", Some("chunked")),
            (NamedRoute::Write, "unit", Some("precision")),
            (NamedRoute::Sql, "unit", None),
            (NamedRoute::Write, "x", None),
            (NamedRoute::Write, "", None),
        ] {
            let message = refused(route, name);
            let expected = meant.map_or_else(|| "is unknown. ".to_owned(), |meant| format!("did you mean '{meant}'?"));
            assert!(message.contains(&expected), "{name}: {message}");
        }
        assert!(refused(NamedRoute::Write, &"x\n".repeat(1_000)).len() < 400);
    }
}
