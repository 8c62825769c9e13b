//! The policy by itself: a table of made-up files, merged in the mind.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::database::{DatabaseState, Edit, FileList, NewColumns, Table, apply};
use crate::model::limits::Limits;
use crate::model::{
    ColumnKind, DataFile, DatabaseId, DatabaseOptions, Digest, FieldType, KeyBound, KeyRange, OrderKey, OrderRange,
    TenantId,
};

const MEBIBYTE: u64 = 1 << 20;
const MINUTE: u64 = 60_000_000_000;
/// Some moment, nanoseconds since 1970.
const START: u64 = 1_795_478_400_000_000_000;

fn state(files: Vec<DataFile>) -> DatabaseState {
    let database = DatabaseState::new(TenantId(1), DatabaseId(2), DatabaseOptions::default());
    let columns = vec![("v".to_owned(), ColumnKind::Field(FieldType::Double))];
    let define = Edit::Define(vec![NewColumns { table: "t".to_owned(), columns }]);
    let mut state = apply(&database, 2, &define, &Limits::default()).unwrap();
    let mut table = Table::clone(&state.tables["t"]);
    table.files = files.into_iter().map(Arc::new).collect();
    state.tables.insert("t".to_owned(), Arc::new(table));
    state
}

/// A file flushed at a minute, with the times of that minute.
fn file(name: &str, minute: u64, size: u64) -> DataFile {
    let order = OrderKey { epoch: minute + 1, clock: START + minute * MINUTE, writer: 1 };
    let time = i64::try_from(minute).unwrap() * 60;
    DataFile {
        path: name.to_owned(),
        partition: "day".to_owned(),
        size,
        tail_bytes: 1,
        tail_crc: Some(1),
        rows: size,
        min_time: time,
        max_time: time + 59,
        order: OrderRange::of(order),
        tags: Vec::new(),
        keys: None,
        columns: Vec::new(),
        sum: Digest { rows: size, cells: size, hash: size },
    }
}

fn keys(first: &str, last: &str) -> Option<KeyRange> {
    let bound = |text: &str, time| KeyBound::new(vec![Some(text.to_owned())], time);
    Some(KeyRange { first: bound(first, 0), last: bound(last, i64::MAX) })
}

fn rules(minute: u64) -> Rules {
    Rules { now: i64::try_from(START + minute * MINUTE).unwrap(), thorough: false, sizes: Sizes::default() }
}

fn thorough() -> Rules {
    Rules { thorough: true, ..rules(0) }
}

fn names(jobs: &[MergeJob]) -> Vec<Vec<&str>> {
    jobs.iter().map(|job| job.inputs.iter().map(|file| file.path.as_str()).collect()).collect()
}

/// The keys of a made-up file, as its name tells: `…@first-end`.
fn span(file: &DataFile) -> (u64, u64) {
    let numbers = file.path.split_once('@').and_then(|(_, span)| span.split_once('-'));
    numbers.map_or((0, 1 << 20), |(first, end)| (first.parse().unwrap(), end.parse().unwrap()))
}

/// Carries a job out in the mind: files of about `file_bytes`, one part of the keys after another.
fn carry_out(state: &DatabaseState, job: &MergeJob, name: &str, file_bytes: u64) -> DatabaseState {
    let mut table = Table::clone(&state.tables["t"]);
    table.files.retain(|file| !job.inputs.iter().any(|input| input.path == file.path));
    let size: u64 = job.inputs.iter().map(|file| file.size).sum();
    let order = job.inputs.iter().map(|file| file.order).reduce(OrderRange::union).unwrap();
    let spans = job.inputs.iter().map(|file| span(file));
    let (first, end) = spans.fold((u64::MAX, 0), |hull, span| (hull.0.min(span.0), hull.1.max(span.1)));
    let count = size.div_ceil(file_bytes).max(1);
    for number in 0..count {
        let (from, to) = (first + (end - first) * number / count, first + (end - first) * (number + 1) / count);
        let mut output = file(&format!("{name}{number}@{from}-{to}"), 0, size / count);
        output.order = order;
        output.min_time = job.inputs.iter().map(|file| file.min_time).min().unwrap();
        output.max_time = job.inputs.iter().map(|file| file.max_time).max().unwrap();
        output.keys = keys(&format!("{from:09}"), &format!("{:09}", to - 1));
        table.files.push(Arc::new(output));
    }
    let mut next = state.clone();
    next.tables.insert("t".to_owned(), Arc::new(table));
    next
}

/// Merges until nothing is left to do; returns the state, and the bytes written.
fn settle(mut state: DatabaseState, rules: Rules) -> (DatabaseState, u64) {
    let mut written = 0;
    for round in 0..2_000 {
        let jobs = merge_jobs(&state, rules);
        let Some(job) = jobs.first() else { return (state, written) };
        written += job.inputs.iter().map(|file| file.size).sum::<u64>();
        let name = format!("{}m{round}.", job.inputs[0].path.split(['m', '@']).next().unwrap());
        state = carry_out(&state, job, &name, rules.sizes.file_bytes);
    }
    panic!("merging does not end");
}

#[test]
fn a_busy_partition_merges_by_levels() {
    let few = state((0..7).map(|minute| file(&format!("f{minute}"), minute, 1_000)).collect());
    assert!(merge_jobs(&few, rules(8)).is_empty());
    let enough = state((0..9).map(|minute| file(&format!("f{minute}"), minute, 1_000)).collect());
    assert_eq!(names(&merge_jobs(&enough, rules(10)))[0].len(), 9);
    // A large one between them keeps them apart.
    let mut files: Vec<DataFile> = (0..9).map(|minute| file(&format!("f{minute}"), minute, 1_000)).collect();
    files[4].size = 20 * MEBIBYTE;
    assert!(merge_jobs(&state(files), rules(10)).is_empty());
}

#[test]
fn what_stands_between_prevents_a_merge() {
    let mut files = vec![file("a", 0, 1_000), file("b", 2, 1_000)];
    files[1].min_time = 0;
    assert_eq!(names(&merge_jobs(&state(files.clone()), thorough())), [["a", "b"]]);
    // Of another partition, between the two in segments and at their times.
    let mut between = file("m", 1, 1_000);
    between.partition = "month".to_owned();
    files.push(between);
    assert!(merge_jobs(&state(files), thorough()).is_empty());
}

#[test]
fn late_points_are_merged_with_what_they_meet_alone() {
    let mut files: Vec<DataFile> = (0..4).map(|number| file(&format!("r{number}"), 0, 250 * MEBIBYTE)).collect();
    for (number, run) in files.iter_mut().enumerate() {
        run.max_time = 1_000;
        run.keys = keys(&format!("k{number}"), &format!("k{number}z"));
    }
    let mut late = file("late", 10, MEBIBYTE);
    (late.min_time, late.keys) = (500, keys("k2a", "k2b"));
    files.push(late);
    assert_eq!(names(&merge_jobs(&state(files.clone()), thorough())), [["r2", "late"]]);
    assert!(merge_jobs(&state(files.clone()), rules(11)).is_empty(), "busy");
    assert!(merge_jobs(&state(files.clone()), rules(10 + 61)).is_empty(), "does not pay off yet");
    assert_eq!(merge_jobs(&state(files), rules(10 + 24 * 60)).len(), 1, "a day later it is done anyway");
}

#[test]
fn a_partition_at_rest_ends_as_few_files_that_do_not_overlap() {
    for sizes in [vec![MEBIBYTE; 300], vec![30 * MEBIBYTE; 60], vec![100 * MEBIBYTE, 1, MEBIBYTE, 300 * MEBIBYTE, 7]] {
        for overlapping in [false, true] {
            let total: u64 = sizes.iter().sum();
            let make = |(minute, size): (usize, &u64)| {
                let mut file = file(&format!("f{minute}"), minute as u64, *size);
                if overlapping {
                    (file.min_time, file.max_time) = (0, 1_000_000);
                }
                file
            };
            let files: Vec<DataFile> = sizes.iter().enumerate().map(make).collect();
            let (settled, _) = settle(state(files), thorough());
            let files = &settled.tables["t"].files;
            let most = total / (96 * MEBIBYTE) + 3;
            assert!(files.len() as u64 <= most, "{} files of {most}", files.len());
            for (position, file) in files.iter().enumerate() {
                assert!(files[position + 1..].iter().all(|other| !file.may_share_points(other)));
            }
        }
    }
}

/// The figures of the room's documentation: how often a byte is written again.
#[test]
fn write_amplification_is_bounded() {
    for (what, size, flushes) in
        [("small", 100 << 10, 1_440u64), ("middling", MEBIBYTE, 1_440), ("large", 8 * MEBIBYTE, 1_440)]
    {
        let mut current = state(Vec::new());
        let mut written = 0;
        let mut most = 0;
        for minute in 0..flushes {
            let mut table = Table::clone(&current.tables["t"]);
            table.files.push(Arc::new(file(&format!("f{minute}"), minute, size)));
            current.tables.insert("t".to_owned(), Arc::new(table));
            let (next, bytes) = settle(current, rules(minute));
            (current, written) = (next, written + bytes);
            most = most.max(current.tables["t"].files.len());
        }
        let busy = written as f64 / (flushes * size) as f64;
        let (quiet, bytes) = settle(current, rules(flushes + 60));
        let (_, last) = settle(quiet.clone(), rules(flushes + 24 * 60));
        let all = busy + (bytes + last) as f64 / (flushes * size) as f64;
        println!(
            "{what}: {busy:.2} while busy, {all:.2} in the end; {most} files at most, {} when quiet",
            quiet.tables["t"].files.len()
        );
        assert!(busy <= 3.0, "{what}: {busy}");
        assert!(all <= 5.0, "{what}: {all}");
        assert!(most as u64 <= 30 + flushes * size / (48 * MEBIBYTE), "{what}: {most}");
    }
}

/// Days of one file each, and one being written to.
fn days(count: u64) -> DatabaseState {
    let files = (0..count).map(|day| {
        let mut file = file(&format!("d{day}"), day, 1_000);
        file.partition = format!("day={day:05}");
        file
    });
    state(files.collect())
}

fn pack(state: &DatabaseState, job: &PackJob, number: usize) -> DatabaseState {
    let mut table = Table::clone(&state.tables["t"]);
    table.files.retain(|file| !job.files.iter().any(|packed| packed.path == file.path));
    table.leaves.retain(|leaf| job.joins.as_ref() != Some(leaf));
    let mut leaf = FileList::of(format!("leaf/{number}"), 1, &job.files).unwrap();
    if let Some(joined) = &job.joins {
        leaf.files += joined.files;
        leaf.min_time = leaf.min_time.min(joined.min_time);
    }
    table.leaves.push(leaf);
    table.leaves.sort_by_key(|leaf| leaf.min_time);
    let mut next = state.clone();
    next.tables.insert("t".to_owned(), Arc::new(table));
    next
}

#[test]
fn a_manifest_describes_few_files_and_leaves_are_full() {
    assert!(pack_jobs(&days(512), rules(20_000)).is_empty());
    let mut state = days(10_000);
    for number in 0.. {
        let jobs = pack_jobs(&state, rules(10_001));
        let Some(job) = jobs.first() else { break };
        assert_eq!(jobs.len(), 1);
        state = pack(&state, job, number);
    }
    let table = &state.tables["t"];
    assert!(table.files.len() <= 512, "{}", table.files.len());
    assert!(table.files.iter().any(|file| file.path == "d9999"), "what is written to stays");
    assert_eq!(table.files.len() + table.leaves.iter().map(|leaf| leaf.files).sum::<usize>(), 10_000);
    assert!(table.leaves.len() <= 42, "{}", table.leaves.len());
}

#[test]
fn a_leaf_comes_back_for_late_points_only_if_that_changes_something() {
    let state = pack(
        &days(3),
        &PackJob {
            table: days(3).tables["t"].id,
            files: vec![Arc::clone(&days(3).tables["t"].files[0]), Arc::clone(&days(3).tables["t"].files[1])],
            joins: None,
        },
        1,
    );
    let listed = [days(3).tables["t"].files[0].clone(), days(3).tables["t"].files[1].clone()];
    assert!(unpack_jobs(&state, thorough()).is_empty(), "nothing meets it");
    let late = |partition: &str| {
        let mut table = Table::clone(&state.tables["t"]);
        let mut file = file("late", 9, 10);
        (file.min_time, file.max_time, file.partition) = (0, 30, partition.to_owned());
        table.files.push(Arc::new(file));
        let mut next = state.clone();
        next.tables.insert("t".to_owned(), Arc::new(table));
        next
    };
    for (partition, worth) in [("day=00000", true), ("month", false)] {
        let state = late(partition);
        assert!(unpack_jobs(&state, rules(10)).is_empty(), "busy");
        let jobs = unpack_jobs(&state, thorough());
        assert_eq!(jobs.len(), 1);
        assert_eq!(is_worth_unpacking(&state, &jobs[0], &listed, thorough()), worth, "{partition}");
    }
    // Retention: the first day is past it, the second is not.
    let mut state = state;
    state.options.ttl = Some(Duration::from_secs(1));
    let second = 1_000_000_000;
    let rules = Rules { now: (3_600 + 1 + 60) * second, thorough: false, sizes: Sizes::default() };
    let mut table = Table::clone(&state.tables["t"]);
    table.leaves[0].max_time = 100 * second;
    state.tables.insert("t".to_owned(), Arc::new(table));
    let jobs = unpack_jobs(&state, rules);
    assert_eq!(jobs.len(), 1);
    assert!(is_worth_unpacking(&state, &jobs[0], &listed, rules));
}
