//! `siltdb write`: line protocol from files and standard input.
//!
//! In: files, compressed or not, of any size. Out: points in a database, and how far the inputs are
//! written. Invariants: memory is bounded by the batches in flight; a place is called acknowledged only
//! when everything before it is; writing a batch again changes nothing, so a run that ended anywhere
//! goes on from the last such place.

mod ack_tracker;
mod bar;
mod batcher;
mod input;
mod load;
mod progress;
mod send;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::sync::watch;

use super::output::{complain, print};
use super::target::{Target, database_of, options, text_of};
use super::usage_error;
use crate::config::Settings;
use crate::model::Result;
use crate::model::time::WritePrecision;

use bar::Bar;
use batcher::BatchLimits;
use input::Input;
use load::{Load, LoadOutcome, Plan, StopReason};
use progress::Progress;
use send::Sender;

/// Most bytes of a batch, whatever its lines: well below what a server takes by default.
const BATCH_BYTES: usize = 8 << 20;

/// The command with its options.
pub(super) fn command() -> Command {
    let about = "Write line protocol from files or standard input, in batches that are tried again until they are in";
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let counted = |name: &'static str, default: &'static str, help: &'static str| {
        option(name, "NUMBER", help).value_parser(value_parser!(u32).range(1..)).default_value(default)
    };
    let concurrency = "Batches in flight; 1 keeps the order in which lines replace each other";
    let skip = "Begin behind so many bytes of the first input (decompressed), where an earlier run ended";
    let progress = "A file that remembers how far everything is written; the same command goes on from there";
    options(Command::new("write").about(about))
        .arg(
            Arg::new("files")
                .num_args(0..)
                .value_name("FILE")
                .help("The files, plain, .gz or .zst; - or none for standard input"),
        )
        .arg(option("precision", "UNIT", "Unit of the timestamps: ns, us, ms or s [default: ns]"))
        .arg(counted("batch-lines", "10000", "Lines of a batch"))
        .arg(counted("concurrency", "4", concurrency))
        .arg(option("retry-time", "TIME", "How long a batch is tried again before the run ends [default: 5m]"))
        .arg(
            Arg::new("gzip")
                .long("gzip")
                .action(ArgAction::SetTrue)
                .requires("server")
                .help("Compress what is sent to the server"),
        )
        .arg(option("progress", "FILE", progress).conflicts_with("skip-bytes"))
        .arg(option("skip-bytes", "NUMBER", skip).value_parser(value_parser!(u64)))
}

/// Writes all inputs, or says how far it came.
pub(super) async fn run(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode> {
    let (precision, retry_time) = (precision_of(matches)?, retry_time_of(matches)?);
    let mut target = Target::open(settings, matches).await?;
    let database = database_of(matches);
    let mut progress = match matches.get_one::<String>("progress") {
        Some(path) => Some(Progress::open(Path::new(path), &format!("{target}, database {database}"))?),
        None => None,
    };
    let plan = plan_of(matches, progress.as_ref())?;
    for (input, _) in &plan.inputs {
        input.check().map_err(|error| usage_error(format!("{} cannot be read: {error}", input.shown())))?;
    }
    if let Err(failure) = target.check_login(&database).await
        && !failure.is_transient()
    {
        complain(&format!("siltdb: {failure}"));
        return Ok(ExitCode::FAILURE);
    }
    target.maintain(settings);
    let mut bar = Bar::begin(plan.inputs.iter().map(|(input, _)| input.size()).sum());
    let (stop, stopping) = watch::channel(false);
    let sender = Sender { target: target.clone(), database, precision, retry_time, stopping };
    let outcome = Load::new(&plan, &mut bar, progress.as_mut()).run(sender, stop).await;
    let summary = bar.end();
    target.close().await;
    print(&format!("{summary}\n"))?;
    match &outcome.halt {
        None => Ok(ExitCode::SUCCESS),
        Some(halt) => {
            complain(&report(halt, &outcome, &plan, matches));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn precision_of(matches: &ArgMatches) -> Result<WritePrecision> {
    let text = text_of(matches, "precision", "ns");
    WritePrecision::parse(&text).ok_or_else(|| usage_error(format!("--precision '{text}': it may be ns, us, ms or s")))
}

fn retry_time_of(matches: &ArgMatches) -> Result<Duration> {
    let text = text_of(matches, "retry-time", "5m");
    humantime::parse_duration(&text)
        .map_err(|error| usage_error(format!("--retry-time '{text}': it must be a time such as 30s or 5m: {error}")))
}

fn plan_of(matches: &ArgMatches, progress: Option<&Progress>) -> Result<Plan> {
    let mut names: Vec<&str> = matches.get_many::<String>("files").unwrap_or_default().map(String::as_str).collect();
    if names.is_empty() {
        names.push("-");
    }
    let skip = matches.get_one::<u64>("skip-bytes").copied().unwrap_or_default();
    let mut inputs: Vec<(Input, u64)> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let input = Input::of(name);
        if inputs.iter().any(|(other, _)| *other == input) {
            return Err(usage_error(format!("{} is given twice", input.shown())));
        }
        let written = match progress {
            Some(progress) => progress.of(&input.key()),
            None if at == 0 => skip,
            None => 0,
        };
        inputs.push((input, written));
    }
    let number = |name: &str| matches.get_one::<u32>(name).map_or(1, |number| *number as usize);
    let most = BatchLimits { lines: number("batch-lines"), bytes: BATCH_BYTES };
    Ok(Plan { inputs, most, concurrency: number("concurrency") })
}

/// Why the run ended, how far everything is written, and how to go on.
fn report(halt: &StopReason, outcome: &LoadOutcome, plan: &Plan, matches: &ArgMatches) -> String {
    let shown = |input: usize| plan.inputs[input].0.shown();
    let why = match halt {
        StopReason::Refused(refusal) => refusal.message(&shown(refusal.input)),
        StopReason::Unreadable(found) => match found.line {
            Some(line) => format!("{}, line {line}: {}", shown(found.input), found.why),
            None => format!("{}: {}", shown(found.input), found.why),
        },
        StopReason::Interrupted => "interrupted".to_owned(),
        StopReason::Failed(error) => error.to_string(),
    };
    let (input, reached) = (shown(outcome.input), outcome.reached);
    let how = match &plan.inputs[outcome.input].0 {
        _ if matches.contains_id("progress") => "the same command goes on from there".to_owned(),
        Input::File(_) => format!("to go on from there:\n  {}", resume_command(outcome, plan, matches)),
        Input::Standard => {
            format!("to go on from there, with the same input:\n  {}", resume_command(outcome, plan, matches))
        }
    };
    format!("siltdb: {why}\nEverything up to byte {reached} of {input} is written; {how}")
}

/// The command line that writes what is left.
fn resume_command(outcome: &LoadOutcome, plan: &Plan, matches: &ArgMatches) -> String {
    let mut words = vec!["siltdb".to_owned(), "write".to_owned(), format!("--skip-bytes={}", outcome.reached)];
    for id in matches.ids().map(clap::Id::as_str) {
        let typed = matches.value_source(id) == Some(ValueSource::CommandLine);
        if !typed || matches!(id, "files" | "skip-bytes") {
            continue;
        }
        if id == "gzip" {
            words.push("--gzip".to_owned());
            continue;
        }
        let values = matches.get_raw(id).unwrap_or_default();
        words.extend(values.map(|value| quoted(&format!("--{id}={}", value.to_string_lossy()))));
    }
    let left = &plan.inputs[outcome.input..];
    words.extend(left.iter().map(|(input, _)| match input {
        Input::Standard => "-".to_owned(),
        Input::File(path) => quoted(&path.to_string_lossy()),
    }));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_=./:,@%+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(words: &[&str]) -> ArgMatches {
        command().get_matches_from([&["write"], words].concat())
    }

    #[test]
    fn the_command_to_go_on_repeats_what_was_typed() {
        let typed = matches(&["--server", "http://db:1", "--gzip", "--database", "it's", "a.lp", "b c.lp", "d.lp"]);
        let plan = plan_of(&typed, None).unwrap();
        let outcome = LoadOutcome { input: 1, reached: 90, halt: None };
        let command = resume_command(&outcome, &plan, &typed);
        let words: Vec<&str> = command.split(" --").collect();
        assert!(command.starts_with("siltdb write --skip-bytes=90 --"), "{command}");
        assert!(command.ends_with(" 'b c.lp' d.lp"), "{command}");
        assert!(words.contains(&"server=http://db:1") && command.contains(" '--database=it'\\''s'"), "{command}");
        assert_eq!(command.matches("--").count(), 4, "{command}");
        let report = report(&StopReason::Interrupted, &outcome, &plan, &typed);
        assert!(report.starts_with("siltdb: interrupted\nEverything up to byte 90 of b c.lp is written;"), "{report}");
    }

    #[test]
    fn inputs() {
        assert_eq!(plan_of(&matches(&[]), None).unwrap().inputs, [(Input::Standard, 0)]);
        let plan = plan_of(&matches(&["--skip-bytes", "7", "x", "-"]), None).unwrap();
        assert_eq!(plan.inputs, [(Input::of("x"), 7), (Input::Standard, 0)]);
        assert!(plan_of(&matches(&["x", "x"]), None).unwrap_err().message.contains("given twice"));
        assert!(precision_of(&matches(&["--precision", "h"])).is_err());
        assert!(retry_time_of(&matches(&["--retry-time", "soon"])).is_err());
        assert!(command().try_get_matches_from(["write", "--batch-lines", "0"]).is_err());
    }
}
