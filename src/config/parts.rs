//! One total of memory, and the settings that are parts of it.
//!
//! What nobody has said is a share of the total; what somebody has said counts, and the rest shares what
//! that leaves. What is not part of any setting, the program, housekeeping, and what an allocator keeps,
//! has what the shares leave over.

use super::portion::{Portion, TOTAL_PERCENT};
use super::size::render;
use super::{Machine, SETTINGS, Setting, SettingSource, Settings};
use crate::model::{Code, Error, Result};

/// With less there is no room beside the program itself.
const LEAST_TOTAL: u64 = 64 << 20;
/// What the parts that nobody has said may shrink to when others were said large.
const LEAST_SHARE: u64 = 4;

/// Gives the total and its parts the values that follow from what was said, and checks that they fit.
///
/// # Errors
/// The parts that were said are more than the total, or leave the others too little; the total is too little.
pub fn apportion(settings: &mut Settings, sources: &mut [SettingSource], machine: &Machine) -> Result<()> {
    for (setting, source) in SETTINGS.iter().zip(sources.iter_mut()) {
        if setting.is_total() && *source == SettingSource::Default {
            setting.set_bytes(
                settings,
                rounded(machine.bytes / 100 * TOTAL_PERCENT + machine.bytes % 100 * TOTAL_PERCENT / 100),
            );
            *source =
                SettingSource::Derived(format!("{TOTAL_PERCENT}% of {} of {}", render(machine.bytes), machine.origin));
        }
    }
    let total = settings.limits.memory_bytes as u64;
    if total < LEAST_TOTAL {
        let (total, least) = (render(total), render(LEAST_TOTAL));
        return Err(unfit(format!("memory_bytes is {total}, and must be at least {least}")));
    }
    let parts: Vec<(&Setting, Portion, bool)> = SETTINGS
        .iter()
        .zip(sources.iter())
        .filter_map(|(setting, source)| Some((setting, setting.portion()?, *source != SettingSource::Default)))
        .collect();
    let beside = || parts.iter().filter(|(_, portion, _)| portion.is_beside);
    let said: u64 = beside().filter(|(.., said)| *said).map(|(setting, ..)| setting.bytes(settings)).sum();
    let wanted: u64 = beside().filter(|(.., said)| !said).map(|(_, portion, _)| portion.of(total)).sum();
    let left = total.saturating_sub(said);
    if said > total || left < wanted / LEAST_SHARE {
        return Err(too_much(settings, &parts, said, wanted));
    }
    let derived = |portion: Portion| match portion.of(total) {
        bytes if portion.is_beside && wanted > left => {
            u64::try_from(u128::from(bytes) * u128::from(left) / u128::from(wanted)).unwrap_or(bytes)
        }
        bytes => bytes,
    };
    for (setting, source) in SETTINGS.iter().zip(sources.iter_mut()) {
        if let (Some(portion), SettingSource::Default) = (setting.portion(), &source) {
            setting.set_bytes(settings, rounded(derived(portion)));
            *source = SettingSource::Derived(portion.text());
        }
    }
    Ok(())
}

/// Down to whole mebibytes, or kibibytes of what is little.
fn rounded(bytes: u64) -> u64 {
    let unit = if bytes >= 16 << 20 { 1 << 20 } else { 1 << 10 };
    bytes / unit * unit
}

fn unfit(message: String) -> Error {
    Error::new(Code::BadRequest, message)
}

fn too_much(settings: &Settings, parts: &[(&Setting, Portion, bool)], said: u64, wanted: u64) -> Error {
    let total = settings.limits.memory_bytes as u64;
    let said_parts = parts.iter().filter(|(_, portion, said)| portion.is_beside && *said);
    let named: Vec<String> =
        said_parts.map(|(setting, ..)| format!("{} {}", setting.key(), render(setting.bytes(settings)))).collect();
    let rest = match wanted {
        0 => String::new(),
        wanted => format!(", and the other parts need at least {}", render(rounded(wanted / LEAST_SHARE))),
    };
    unfit(format!(
        "the parts of the memory do not fit into memory_bytes, {}: {} are {}{rest}; raise memory_bytes, or lower a part",
        render(total),
        named.join(" and "),
        render(said),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Resolved, resolve};

    const GIB: u64 = 1 << 30;

    fn resolved(bytes: u64, said: &[(&str, &str)]) -> Result<Resolved> {
        let flag =
            |setting: &Setting| said.iter().find(|(flag, _)| *flag == setting.flag).map(|(_, text)| (*text).to_owned());
        resolve(flag, |_| None, None, &Machine::function(bytes))
    }

    /// The total and the sum of what is held beside each other.
    fn sums(settings: &Settings) -> (u64, u64) {
        let beside = SETTINGS.iter().filter(|setting| setting.portion().is_some_and(|portion| portion.is_beside));
        (settings.limits.memory_bytes as u64, beside.map(|setting| setting.bytes(settings)).sum())
    }

    #[test]
    fn what_nobody_said_follows_from_the_machine() {
        for bytes in [128 << 20, GIB, 2 * GIB, 512 * GIB] {
            let resolved = resolved(bytes, &[]).unwrap();
            let (total, parts) = sums(&resolved.settings);
            assert_eq!(total, bytes / 4 * 3);
            assert!(parts < total / 100 * 83 && parts > total / 3, "{parts} of {total}");
            assert!(resolved.settings.limits.decoded_body_bytes < resolved.settings.http.body_memory_bytes);
            let source = |flag: &str| {
                resolved.sources().find(|(setting, _)| setting.flag == flag).map(|(_, source)| source.to_string())
            };
            let origin = format!("75% of {} of the function's memory", render(bytes));
            assert_eq!(source("memory-bytes"), Some(origin));
            assert_eq!(source("query-memory-bytes").as_deref(), Some("45% of memory-bytes"));
            assert!(!resolved.is_said("query-memory-bytes"));
        }
    }

    #[test]
    fn what_was_said_counts_and_the_rest_shares_what_it_leaves() {
        let settings = resolved(64 * GIB, &[("memory-bytes", "1GiB")]).unwrap().settings;
        assert_eq!(settings.limits.memory_bytes as u64, GIB);
        assert_eq!(settings.limits.query_memory_bytes >> 20, 460);
        let said = [("memory-bytes", "1GiB"), ("query-memory-bytes", "768MiB")];
        let settings = resolved(64 * GIB, &said).unwrap().settings;
        assert_eq!(settings.limits.query_memory_bytes, 768 << 20);
        let (total, parts) = sums(&settings);
        assert!(parts <= total && parts > total - (4 << 20), "{parts} of {total}");
        assert!(settings.http.body_memory_bytes > settings.tail_cache_bytes as usize);
    }

    #[test]
    fn parts_that_do_not_fit_are_an_error_with_their_numbers() {
        let message = |said: &[(&str, &str)]| resolved(64 * GIB, said).unwrap_err().message;
        let all = [
            ("memory-bytes", "1GiB"),
            ("query-memory-bytes", "512MiB"),
            ("body-memory-bytes", "512MiB"),
            ("tail-cache-bytes", "64MiB"),
            ("footer-cache-bytes", "64MiB"),
        ];
        assert_eq!(
            message(&all),
            "the parts of the memory do not fit into memory_bytes, 1GiB: body_memory_bytes 512MiB and \
             query_memory_bytes 512MiB and footer_cache_bytes 64MiB and tail_cache_bytes 64MiB are 1152MiB; raise \
             memory_bytes, or lower a part"
        );
        let most = message(&[("memory-bytes", "1GiB"), ("query-memory-bytes", "1000MiB")]);
        assert!(
            most.contains("query_memory_bytes 1000MiB are 1000MiB, and the other parts need at least 95MiB"),
            "{most}"
        );
        assert!(message(&[("memory-bytes", "10MiB")]).contains("is 10MiB, and must be at least 64MiB"));
        assert!(resolved(64 * GIB, &[("memory-bytes", "1152MiB"), all[1], all[2], all[3], all[4]]).is_ok());
    }
}
