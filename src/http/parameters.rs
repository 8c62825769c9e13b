//! Query strings and header texts.

use axum::http::{HeaderMap, HeaderName};

use super::names::{self, NamedRoute, Parameter};
use crate::model::time::WritePrecision;
use crate::model::{Code, Error, Result};

/// The parameters of a request. What a client does not say has CnosDB's default.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub tenant: String,
    pub database: String,
    pub precision: WritePrecision,
    pub chunked: bool,
    pub target_partitions: Option<usize>,
    /// As sent: it is checked only after the credentials.
    stream_trigger_interval: Option<String>,
}

/// More partitions than this are asked for by mistake.
const MAXIMUM_PARTITIONS: usize = 256;

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            tenant: "cnosdb".to_owned(),
            database: "public".to_owned(),
            precision: WritePrecision::Nanosecond,
            chunked: false,
            target_partitions: None,
            stream_trigger_interval: None,
        }
    }
}

fn refuse(message: String) -> Error {
    Error::new(Code::BadRequest, message)
}

impl Parameters {
    /// # Errors
    /// [`Code::BadRequest`] for broken percent-encoding, names that the route does not know, a known
    /// parameter given twice, and values that a known parameter does not take.
    pub fn parse(route: NamedRoute, query: Option<&str>) -> Result<Parameters> {
        let query = query.unwrap_or_default();
        check_encoding(query)?;
        let mut parameters = Parameters::default();
        let mut seen: Vec<Parameter> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = names::meaning(route, &key)? else { continue };
            if seen.contains(&parameter) {
                return Err(refuse(format!("the parameter '{key}' is given twice")));
            }
            parameters.set(parameter, &value)?;
            seen.push(parameter);
        }
        Ok(parameters)
    }

    fn set(&mut self, parameter: Parameter, value: &str) -> Result<()> {
        match parameter {
            Parameter::Tenant => self.tenant = value.to_owned(),
            Parameter::Database => self.database = value.to_owned(),
            Parameter::Precision => {
                self.precision = WritePrecision::parse(value)
                    .ok_or_else(|| refuse(format!("precision '{value}' is unknown, it may be ns, us, ms or s")))?;
            }
            Parameter::Chunked => {
                self.chunked = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(refuse(format!("chunked may be true or false, not '{value}'"))),
                };
            }
            Parameter::TargetPartitions => {
                let partitions = value.parse::<usize>().ok().filter(|partitions| *partitions > 0);
                let partitions = partitions
                    .ok_or_else(|| refuse(format!("target_partitions is a number from 1 on, not '{value}'")))?;
                self.target_partitions = Some(partitions.min(MAXIMUM_PARTITIONS));
            }
            Parameter::StreamTriggerInterval => self.stream_trigger_interval = Some(value.to_owned()),
        }
        Ok(())
    }

    /// Checks what CnosDB checks only once it knows who asks. The value means nothing here: there
    /// are no stream tables.
    ///
    /// # Errors
    /// [`Code::InvalidHeader`], as CnosDB has it.
    pub fn check_stream_trigger(&self) -> Result<()> {
        match self.stream_trigger_interval.as_deref() {
            None => Ok(()),
            Some(text) if text.eq_ignore_ascii_case("once") || humantime::parse_duration(text).is_ok() => Ok(()),
            Some(text) => Err(Error::new(
                Code::InvalidHeader,
                format!("Invalid header: stream_trigger_interval may be once or a duration, not '{text}'"),
            )),
        }
    }
}

/// Refuses what decoders forgive: `%` without two hexadecimal digits, bytes that are not UTF-8.
fn check_encoding(query: &str) -> Result<()> {
    let broken = || refuse("the query string is malformed: '%' must be followed by two hexadecimal digits".to_owned());
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(broken);
        let value = digit()? * 16 + digit()?;
        bytes.push(value as u8);
    }
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(refuse("the query string is malformed: it is not UTF-8".to_owned())),
    }
}

/// The text of a header, several lines of it joined as a list.
///
/// # Errors
/// [`Code::InvalidHeader`] when it has other than visible ASCII characters.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> Result<Option<String>> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(&name) {
        let text = value.to_str().map_err(|_| {
            Error::new(Code::InvalidHeader, format!("Invalid header: {name} has characters other than visible ASCII"))
        })?;
        match &mut joined {
            None => joined = Some(text.to_owned()),
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(text);
            }
        }
    }
    Ok(joined)
}
