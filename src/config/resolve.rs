//! Puts the settings together from all places, and remembers which one each came from.

use toml::de::{DeTable, DeValue};

use super::{Machine, SETTINGS, Scope, Setting, SettingSource, Settings, parts};
use crate::model::{Code, Error, Result};

fn unusable(message: String) -> Error {
    Error::new(Code::BadRequest, message)
}

/// Settings that know where they came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub settings: Settings,
    /// In the order of [`SETTINGS`].
    sources: Vec<SettingSource>,
}

impl Resolved {
    /// Every setting with its source, in the order of the table.
    pub fn sources(&self) -> impl Iterator<Item = (&'static Setting, &SettingSource)> {
        SETTINGS.iter().zip(&self.sources)
    }

    /// Whether somebody said what the setting of this flag is to be.
    pub fn is_said(&self, flag: &str) -> bool {
        self.sources().any(|(setting, source)| setting.flag == flag && source.is_explicit())
    }
}

/// Puts the settings together.
///
/// `flag` and `variable` look up what was said under a flag's and a variable's name; `file` is the
/// name and the text of the settings file; `machine` is the memory that there is.
///
/// # Errors
/// Names the flag, variable, or line of the file that does not make sense, or the sizes that do not fit
/// together.
pub fn resolve(
    flag: impl Fn(&Setting) -> Option<String>,
    variable: impl Fn(&str) -> Option<String>,
    file: Option<(&str, &str)>,
    machine: &Machine,
) -> Result<Resolved> {
    let from_file = match file {
        Some((name, text)) => read_file(name, text)?,
        None => Vec::new(),
    };
    let mut resolved = Resolved { settings: Settings::default(), sources: Vec::with_capacity(SETTINGS.len()) };
    for setting in SETTINGS {
        let name = setting.variable();
        let said = if let Some(text) = flag(setting) {
            Some((text, SettingSource::Flag(setting.flag)))
        } else if let Some(text) = variable(&name).filter(|text| !text.is_empty()) {
            Some((text, SettingSource::Variable(name)))
        } else {
            let entry = from_file.iter().find(|entry| entry.key == setting.key());
            entry.map(|entry| (entry.text.clone(), entry.source.clone()))
        };
        let said = match read_secret(setting, &resolved)? {
            Some(_) if said.is_some() => return Err(said_twice(setting)),
            Some(secret) => Some(secret),
            None => said,
        };
        let Some((text, source)) = said else {
            resolved.sources.push(SettingSource::Default);
            continue;
        };
        setting.set(&mut resolved.settings, &text).map_err(|why| mistake(setting, &source, &text, &why))?;
        resolved.sources.push(source);
    }
    parts::apportion(&mut resolved.settings, &mut resolved.sources, machine)?;
    Ok(resolved)
}

/// A secret that is in a file of its own, whose name is the setting before it with `-file` at its end.
///
/// Errors: the file cannot be read, or there is nothing in it: it is not to pass for no password.
fn read_secret(setting: &Setting, resolved: &Resolved) -> Result<Option<(String, SettingSource)>> {
    if setting.scope != Scope::Secret {
        return Ok(None);
    }
    let place = SETTINGS.iter().position(|other| other.flag.strip_suffix("-file") == Some(setting.flag));
    let Some((place, source)) = place.and_then(|place| Some((place, resolved.sources.get(place)?))) else {
        return Ok(None);
    };
    let name = SETTINGS[place].text(&resolved.settings);
    if name.is_empty() {
        return Ok(None);
    }
    let fail = |why: &str| unusable(format!("{} ({source}): {name} {why}", SETTINGS[place].key()));
    let text = std::fs::read_to_string(&name).map_err(|error| fail(&format!("cannot be read: {error}")))?;
    // An editor, and echo, end a line.
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() { Err(fail("is empty")) } else { Ok(Some((text.to_owned(), SettingSource::Whole(name)))) }
}

fn said_twice(setting: &Setting) -> Error {
    let key = setting.key();
    unusable(format!("both {key} and {key}_file are set: say which one is meant"))
}

fn mistake(setting: &Setting, source: &SettingSource, text: &str, why: &str) -> Error {
    let place = match source {
        SettingSource::Flag(name) => format!("--{name}"),
        SettingSource::Variable(name) => name.clone(),
        SettingSource::File { name, line } => format!("{name}, line {line}: {}", setting.key()),
        SettingSource::Whole(_) | SettingSource::Derived(_) | SettingSource::Default => setting.key(),
    };
    // A secret is not repeated.
    let shown = if setting.scope == Scope::Secret { String::new() } else { format!(" '{text}'") };
    unusable(format!("{place}{shown}: {why}"))
}

/// One `key = value` of the file.
struct Entry {
    key: String,
    text: String,
    source: SettingSource,
}

fn read_file(name: &str, text: &str) -> Result<Vec<Entry>> {
    let table = DeTable::parse(text).map_err(|error| not_toml(name, text, &error))?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(text, key.span().start);
        let place = format!("{name}, line {line}: {}", key.get_ref());
        if !SETTINGS.iter().any(|setting| setting.key() == key.get_ref().as_ref()) {
            return Err(unusable(format!("{place} is not a setting; `siltdb config` lists them")));
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            _ => return Err(unusable(format!("{place} must be a text, a whole number, true or false"))),
        };
        let source = SettingSource::File { name: name.to_owned(), line };
        entries.push(Entry { key: key.get_ref().to_string(), text, source });
    }
    Ok(entries)
}

/// Place and reason. Not the line: a password may be in it.
fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let place = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(", line {}, column {column}", line_of(text, span.start))
    });
    unusable(format!("{name}{}: {}", place.unwrap_or_default(), error.message().replace('\n', ", ")))
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::limits::Limits;

    fn resolve_with(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Result<Resolved> {
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        resolve(
            |setting| find(flags, setting.flag),
            |name| find(variables, name),
            file.map(|text| ("siltdb.toml", text)),
            &Machine::function(1 << 30),
        )
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let file = Some(
            "# comment\nlisten = \"a:1\"\nstore = \"file\"\nlog = \"debug\"\nwrite_body_bytes = 5\nmaintenance = false\n",
        );
        let variables = [("SILTDB_LISTEN", "b:2"), ("SILTDB_STORE", "variable"), ("SILTDB_LOG", "")];
        let resolved = resolve_with(&[("listen", "c:3")], &variables, file).unwrap();
        let settings = &resolved.settings;
        assert_eq!(
            (settings.listen.as_str(), settings.store.as_str(), settings.log.as_str()),
            ("c:3", "variable", "debug")
        );
        assert_eq!((settings.limits.write_body_bytes, settings.maintenance), (5, false));
        assert_eq!(settings.limits.sql_body_bytes, Limits::default().sql_body_bytes);
        let source = |flag: &str| resolved.sources().find(|(setting, _)| setting.flag == flag).unwrap().1.to_string();
        assert_eq!(source("listen"), "flag --listen");
        assert_eq!(source("store"), "environment variable SILTDB_STORE");
        assert_eq!(source("log"), "file siltdb.toml, line 4");
        assert_eq!(source("sql-body-bytes"), "default");
        assert!(resolved.is_said("log") && !resolved.is_said("grace"));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let message = |flags: &[(&str, &str)], variables: &[(&str, &str)], file| {
            resolve_with(flags, variables, file).unwrap_err().message
        };
        assert!(message(&[("query-time", "soon")], &[], None).starts_with("--query-time 'soon': it must be a time"));
        assert!(
            message(&[], &[("SILTDB_FLUSH_BYTES", "1x")], None)
                .starts_with("SILTDB_FLUSH_BYTES '1x': it must be a size")
        );
        assert_eq!(
            message(&[], &[], Some("log = \"info\"\n\nlisten_on = 1")),
            "siltdb.toml, line 3: listen_on is not a setting; `siltdb config` lists them"
        );
        assert_eq!(
            message(&[], &[], Some("\nconcurrent_writes = 0")),
            "siltdb.toml, line 2: concurrent_writes '0': it must be a number from 1 on"
        );
        assert!(message(&[], &[], Some("[limits]\nx = 1")).contains("line 1: limits is not a setting"));
        assert!(message(&[], &[], Some("log = [1]")).contains("must be a text"));
        assert!(message(&[], &[], Some("log = ")).starts_with("siltdb.toml, line 1, column "));
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_by_place_and_not_by_its_secret() {
        for text in [
            "log = \"info\"\nroot_password = hunter2\n",
            "log = \"info\"\nroot_password = \"hunter2\n",
            "log = \"info\"\nroot_password = 'hunter2' x\n",
            "log = \"info\"\nroot_password \"hunter2\"\n",
            "log = \"info\"\nroot_password = \"hunter2\" \"\n",
            "log = \"info\"\nroot_password = [\"hunter2\"]\n",
            "log = \"info\"\nroot_password = \"a\"\nroot_password = \"hunter2\"\n",
            "log = \"info\"\nroot_password = \"\\hunter2\"\n",
        ] {
            let message = resolve_with(&[], &[], Some(text)).unwrap_err().message;
            assert!(!message.contains("unter2"), "{message}");
            assert!(
                message.starts_with("siltdb.toml, line 2") || message.starts_with("siltdb.toml, line 3"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_secret_may_be_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let name = path.to_str().unwrap();
        let variables = [("SILTDB_ROOT_PASSWORD_FILE", name)];
        for (text, password) in
            [("hunter2\n", "hunter2"), ("hunter2", "hunter2"), (" a b \r\n", " a b "), ("a\n\n", "a\n")]
        {
            std::fs::write(&path, text).unwrap();
            let resolved = resolve_with(&[], &variables, None).unwrap();
            assert_eq!(resolved.settings.root_password.as_ref().unwrap().expose_secret(), password);
            assert!(resolved.settings.root_password_hash.is_none() && resolved.settings.has_root_password());
            let source = resolved.sources().find(|(setting, _)| setting.flag == "root-password").unwrap().1;
            assert_eq!(source.to_string(), format!("file {name}"));
        }
        let message = |variables: &[(&str, &str)]| resolve_with(&[], variables, None).unwrap_err().message;
        let twice = message(&[variables[0], ("SILTDB_ROOT_PASSWORD", "other")]);
        assert_eq!(twice, "both root_password and root_password_file are set: say which one is meant");
        std::fs::write(&path, "\n").unwrap();
        assert!(message(&variables).ends_with(&format!("{name} is empty")), "{}", message(&variables));
        std::fs::remove_file(&path).unwrap();
        let absent = message(&[("SILTDB_ROOT_PASSWORD_HASH_FILE", name)]);
        assert!(
            absent.starts_with("root_password_hash_file (environment variable SILTDB_ROOT_PASSWORD_HASH_FILE): "),
            "{absent}"
        );
    }

    #[test]
    fn a_hash_that_is_none_is_a_mistake() {
        let message = resolve_with(&[], &[("SILTDB_ROOT_PASSWORD_HASH", "hunter2")], None).unwrap_err().message;
        assert!(message.starts_with("SILTDB_ROOT_PASSWORD_HASH: it must be argon2's PHC string"), "{message}");
        assert!(!message.contains("hunter2"));
        assert!(!resolve_with(&[], &[], Some("root_password_hash = \"\"")).unwrap().settings.has_root_password());
    }

    #[test]
    fn passwords_are_never_shown() {
        let variables = [("SILTDB_ROOT_PASSWORD", "hunter2")];
        let settings = resolve_with(&[], &variables, None).unwrap().settings;
        assert!(settings.has_root_password());
        assert!(!format!("{settings:?}").contains("hunter2"));
        let secret = SETTINGS.iter().find(|setting| setting.flag == "root-password").unwrap();
        assert_eq!((secret.text(&settings), secret.text(&Settings::default())), ("(set)".into(), "(not set)".into()));
        assert!(!Settings::default().has_root_password());
        assert!(!resolve_with(&[], &[], Some("root_password = \"\"")).unwrap().settings.has_root_password());
    }
}
