use std::sync::Arc;

use super::*;
use crate::ledger::LedgerState;
use crate::model::limits::Limits;
use crate::model::{Code, ColumnKind, FieldType, OrderRange};

const DOUBLE: ColumnKind = ColumnKind::Field(FieldType::Double);

fn database() -> DatabaseState {
    DatabaseState::new(TenantId(1), DatabaseId(2), DatabaseOptions::default())
}

fn step(state: &DatabaseState, version: u64, edit: &Edit) -> Result<DatabaseState, EditRefusal> {
    apply(state, version, edit, &Limits::default())
}

fn define(table: &str, columns: &[(&str, ColumnKind)]) -> Edit {
    let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    Edit::Define(vec![NewColumns { table: table.to_owned(), columns }])
}

fn order(epoch: u64) -> OrderKey {
    OrderKey { epoch, clock: epoch, writer: 1 }
}

fn segment(epoch: u64) -> SegmentName {
    SegmentName { order: order(epoch), tables: 1, place: None }
}

fn sum(rows: u64) -> Digest {
    Digest { rows, cells: rows * 2, hash: rows * 1_000 }
}

fn file(path: &str, epoch: u64, times: (i64, i64), rows: u64) -> DataFile {
    DataFile {
        path: path.to_owned(),
        partition: "day=1970-01-01".to_owned(),
        size: 10,
        tail_bytes: 1,
        tail_crc: Some(1),
        rows,
        min_time: times.0,
        max_time: times.1,
        order: OrderRange::of(order(epoch)),
        tags: Vec::new(),
        keys: None,
        columns: Vec::new(),
        sum: sum(rows),
    }
}

/// A database with table `t` (id 1) whose epoch 1 is settled into `a` and epoch 3 into `b`.
fn settled(times_a: (i64, i64), times_b: (i64, i64)) -> DatabaseState {
    let mut state = step(&database(), 2, &define("t", &[("h", ColumnKind::Tag), ("v", DOUBLE)])).unwrap();
    for (version, epoch, file) in [(3, 1, file("a", 1, times_a, 5)), (6, 3, file("b", 3, times_b, 7))] {
        state = step(&state, version, &Edit::Seal).unwrap();
        let freeze = Edit::Freeze { floor: state.floor, epoch: state.epoch, segments: vec![segment(epoch)] };
        state = step(&state, version + 1, &freeze).unwrap();
        state = step(&state, version + 2, &flush(&state, &[segment(epoch)], file)).unwrap();
    }
    state
}

fn flush(state: &DatabaseState, consumed: &[SegmentName], file: DataFile) -> Edit {
    let table = FlushedTable { table: TableId(1), consumed: file.sum, dropped: Digest::default(), files: vec![file] };
    Edit::Flush { floor: state.floor, consumed: consumed.to_vec(), base: 1, tables: vec![table] }
}

#[test]
fn columns_stand_in_cnosdbs_order_and_have_ids_in_the_order_written() {
    let state = step(&database(), 2, &define("t", &[("z", DOUBLE), ("b", ColumnKind::Tag), ("a", ColumnKind::Tag)]));
    let state = state.unwrap();
    let names = |state: &DatabaseState| {
        let columns = &state.tables["t"].schema.columns;
        columns.iter().map(|column| format!("{}{}", column.name, column.id)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&state), "time0 a3 b2 z1");
    let state =
        step(&state, 3, &define("t", &[("c", ColumnKind::Tag), ("a", ColumnKind::Tag), ("y", DOUBLE)])).unwrap();
    assert_eq!(names(&state), "time0 a3 b2 z1 c4 y5");
    assert!(matches!(step(&state, 4, &define("t", &[("y", DOUBLE)])), Err(EditRefusal::Nothing)));
}

#[test]
fn a_conflict_names_table_column_and_both_types() {
    let state = step(&database(), 2, &define("t", &[("v", DOUBLE)])).unwrap();
    for (kind, spelled) in [(ColumnKind::Field(FieldType::BigInt), "BIGINT"), (ColumnKind::Tag, "TAG")] {
        let Err(EditRefusal::Invalid(error)) = step(&state, 3, &define("t", &[("v", kind)])) else {
            panic!("accepted")
        };
        assert_eq!(error.code, Code::TypeConflict);
        assert_eq!(
            error.message,
            format!("DataSchemaError: Column 'v' type error, found {spelled} expected DOUBLE (table 't')")
        );
        let resolved = resolve(&state, "t", [("v", kind)].into_iter());
        assert_eq!(resolved.unwrap_err(), error);
    }
}

#[test]
fn a_flush_moves_the_floor_once() {
    let state = settled((0, 9), (10, 19));
    assert_eq!((state.floor, state.epoch), (6, 6));
    assert!(state.frozen.is_none());
    assert!(violations(&state, 8).is_empty());
    let again = flush(&DatabaseState { floor: 3, ..state.clone() }, &[segment(3)], file("c", 3, (10, 19), 7));
    assert!(matches!(step(&state, 9, &again), Err(EditRefusal::Superseded)));
}

#[test]
fn a_flush_may_consume_a_prefix() {
    let mut state = step(&database(), 2, &define("t", &[("v", DOUBLE)])).unwrap();
    state = step(&state, 3, &Edit::Seal).unwrap();
    let names =
        [1, 2, 3].map(|clock| SegmentName { order: OrderKey { epoch: 1, clock, writer: 1 }, tables: 1, place: None });
    let freeze = Edit::Freeze { floor: 1, epoch: 3, segments: names.to_vec() };
    state = step(&state, 4, &freeze).unwrap();
    let mut first = file("a", 1, (0, 9), 5);
    first.order = OrderRange { first: names[0].order, last: names[1].order };
    state = step(&state, 5, &flush(&state, &names[..2], first)).unwrap();
    assert_eq!((state.floor, state.frozen.as_deref()), (1, Some(&names[2..])));
    let mut second = file("b", 1, (0, 9), 5);
    second.order = OrderRange::of(names[2].order);
    assert!(matches!(step(&state, 6, &flush(&state, &names[1..], second.clone())), Err(EditRefusal::Superseded)));
    state = step(&state, 6, &flush(&state, &names[2..], second)).unwrap();
    assert_eq!((state.floor, state.frozen), (3, None));
}

#[test]
fn a_freeze_needs_the_floor_and_the_epoch_it_was_listed_at() {
    let mut state = step(&database(), 2, &define("t", &[("v", DOUBLE)])).unwrap();
    state = step(&state, 3, &Edit::Seal).unwrap();
    // The range grows under the lister: dropping a table seals too.
    let grown = step(&state, 4, &Edit::DropTable { name: "t".to_owned() }).unwrap();
    assert_eq!(grown.epoch, 4);
    let stale = Edit::Freeze { floor: 1, epoch: 3, segments: vec![segment(1)] };
    assert!(matches!(step(&grown, 5, &stale), Err(EditRefusal::Superseded)));
    let frozen = step(&state, 4, &stale).unwrap();
    assert!(matches!(step(&frozen, 5, &Edit::DropTable { name: "t".to_owned() }), Err(EditRefusal::FlushFirst)));
    assert!(matches!(step(&frozen, 5, &Edit::Seal), Err(EditRefusal::Nothing)));
}

#[test]
fn a_merge_needs_its_inputs_and_the_fence() {
    let state = settled((0, 9), (5, 19));
    let mut output = file("c", 1, (0, 19), 12);
    output.order = OrderRange { first: order(1), last: order(3) };
    output.sum = sum(5).plus(sum(7));
    let merge = |base| Edit::Merge {
        table: TableId(1),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        outputs: vec![output.clone()],
        dropped: Digest::default(),
        base,
    };
    let merged = step(&state, 9, &merge(8)).unwrap();
    assert_eq!(merged.tables["t"].files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(matches!(step(&merged, 10, &merge(8)), Err(EditRefusal::Superseded)));
    let fenced = step(&state, 9, &Edit::Collect).unwrap();
    assert_eq!(fenced.gc_fence, 8);
    assert!(matches!(step(&fenced, 10, &merge(7)), Err(EditRefusal::Superseded)));
    assert!(step(&fenced, 10, &merge(8)).is_ok());
}

#[test]
fn lost_and_doubled_points_are_refused() {
    let state = settled((0, 9), (10, 19));
    let mut output = file("c", 1, (0, 19), 11);
    output.order = OrderRange { first: order(1), last: order(3) };
    let merge = Edit::Merge {
        table: TableId(1),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        outputs: vec![output],
        dropped: Digest::default(),
        base: 8,
    };
    let Err(EditRefusal::Invalid(error)) = step(&state, 9, &merge) else { panic!("accepted") };
    assert!(error.message.contains("conserve"), "{error}");
}

#[test]
fn files_that_could_count_twice_are_refused() {
    let mut state = settled((0, 9), (10, 19));
    state = step(&state, 9, &Edit::Seal).unwrap();
    state = step(&state, 10, &Edit::Freeze { floor: 6, epoch: 9, segments: vec![segment(6)] }).unwrap();
    // A file that claims to come from epoch 3 and overlaps file b in time.
    let Err(EditRefusal::Invalid(error)) = step(&state, 11, &flush(&state, &[segment(6)], file("x", 3, (15, 16), 1)))
    else {
        panic!("accepted")
    };
    assert!(error.message.contains("count twice"), "{error}");
}

#[test]
fn a_dropped_database_takes_no_more_edits() {
    let state = step(&database(), 2, &Edit::DropDatabase).unwrap();
    assert!(matches!(step(&state, 3, &Edit::Seal), Err(EditRefusal::Superseded)));
    assert!(matches!(step(&state, 3, &define("t", &[("v", DOUBLE)])), Err(EditRefusal::Superseded)));
}

#[test]
fn create_table_wants_a_field_and_unique_names() {
    let create = |columns: &[(&str, ColumnKind)]| {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        step(&database(), 2, &Edit::CreateTable { name: "t".to_owned(), columns })
    };
    let state = create(&[("v", DOUBLE), ("w", DOUBLE), ("b", ColumnKind::Tag)]).unwrap();
    let names: Vec<&str> = state.tables["t"].schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["time", "b", "v", "w"]);
    for (columns, code) in [
        (&[("b", ColumnKind::Tag)][..], Code::NoField),
        (&[("v", DOUBLE), ("v", ColumnKind::Tag)], Code::ColumnExists),
        (&[("time", DOUBLE)], Code::ColumnExists),
    ] {
        let Err(EditRefusal::Invalid(error)) = create(columns) else { panic!("accepted") };
        assert_eq!(error.code, code);
    }
}

#[test]
fn only_files_wholly_past_the_ttl_expire() {
    let mut state = settled((0, 1_000), (0, 20_000_000_000_000));
    let mut table = Table::clone(&state.tables["t"]);
    table.files[1] = Arc::new(file("b", 3, (2_000, 20_000_000_000_000), 7));
    state.tables.insert("t".to_owned(), Arc::new(table));
    state.options.ttl = Some(std::time::Duration::from_secs(60));
    let now = 4_000_000_000_000;
    let expired = Expired { table: TableId(1), files: vec!["a".to_owned()], leaves: Vec::new() };
    assert_eq!(expired_files(&state, now), vec![expired.clone()]);
    assert!(expired_files(&state, 3_000_000_000_000).is_empty());
    let next = step(&state, 9, &Edit::Expire { tables: vec![expired] }).unwrap();
    assert_eq!(next.tables["t"].files.len(), 1);
    assert_eq!(next.tables["t"].dropped, sum(5));
    assert!(violations(&next, 9).is_empty());
}

#[test]
fn a_state_survives_its_text() {
    let mut state = settled((0, 9), (10, 19));
    state = step(&state, 9, &Edit::Seal).unwrap();
    state = step(&state, 10, &Edit::Freeze { floor: 6, epoch: 9, segments: vec![segment(6)] }).unwrap();
    state = step(&state, 11, &define("a \"quoted\" näme", &[("v", DOUBLE)])).unwrap();
    let (head, lines) = state.encode().unwrap();
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    assert!(lines.iter().chain([&head.as_str()]).all(|line| !line.contains('\n')));
    let back = DatabaseState::decode(&head, &lines, None).unwrap();
    assert_eq!((back.frozen.clone(), back.epoch, back.tables.len()), (state.frozen.clone(), state.epoch, 2));
    assert_eq!(back.tables["t"].files, state.tables["t"].files);
    let (again, lines_again) = back.encode().unwrap();
    assert_eq!((head.as_str(), lines.clone()), (again.as_str(), lines_again.iter().map(AsRef::as_ref).collect()));
    assert!(DatabaseState::decode(&head, &[lines[0], lines[0]], None).is_err(), "a table twice");
}

#[test]
fn unchanged_tables_are_shared_and_changed_ones_are_not() {
    let before = step(&settled((0, 9), (10, 19)), 9, &define("u", &[("v", DOUBLE)])).unwrap();
    let (head, lines) = before.encode().unwrap();
    let first = DatabaseState::decode(&head, &lines.iter().map(AsRef::as_ref).collect::<Vec<_>>(), None).unwrap();
    let after = step(&first, 10, &define("u", &[("w", DOUBLE)])).unwrap();
    let (head, lines) = after.encode().unwrap();
    assert!(lines[1].contains("\"w\""), "the text follows the change: {}", lines[1]);
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let second = DatabaseState::decode(&head, &lines, Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first.tables["t"], &second.tables["t"]));
    assert!(!Arc::ptr_eq(&first.tables["u"], &second.tables["u"]));
    assert_eq!(second.tables["u"].schema.columns.len(), 3);
}

fn packed(state: &DatabaseState, names: &[&str], replaces: Option<&FileList>, listed: &[Arc<DataFile>]) -> Packed {
    let table = &state.tables["t"];
    let mut files: Vec<Arc<DataFile>> = listed.to_vec();
    files.extend(table.files.iter().filter(|file| names.contains(&file.path.as_str())).cloned());
    let bytes = encode_leaf(&files).unwrap();
    let leaf = FileList::of(format!("leaf/{}", names.join("")), bytes.len() as u64, &files).unwrap();
    assert_eq!(decode_leaf("leaf", &leaf, &bytes).unwrap(), files);
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Packed { table: TableId(1), leaf, files: names, replaces: replaces.map(|leaf| leaf.path.clone()) }
}

#[test]
fn files_move_into_leaves_and_back() {
    let state = settled((0, 9), (10, 19));
    let files = state.tables["t"].files.clone();
    let pack = |job: &Packed, base| Edit::Pack { tables: vec![job.clone()], base };
    let first = packed(&state, &["a"], None, &[]);
    let one = step(&state, 9, &pack(&first, 8)).unwrap();
    assert_eq!((one.tables["t"].files.len(), one.tables["t"].leaves.len()), (1, 1));
    assert!(violations(&one, 9).is_empty());
    assert!(matches!(step(&one, 10, &pack(&first, 8)), Err(EditRefusal::Superseded)), "the file has moved");
    let second = packed(&one, &["b"], Some(&first.leaf), &files[..1]);
    let two = step(&one, 10, &pack(&second, 9)).unwrap();
    assert_eq!((two.tables["t"].files.len(), &two.tables["t"].leaves), (0, &vec![second.leaf.clone()]));
    let fenced = step(&two, 11, &Edit::Collect).unwrap();
    assert!(matches!(step(&fenced, 12, &pack(&second, 9)), Err(EditRefusal::Superseded)), "the fence");
    let unpack = |files: &[Arc<DataFile>]| Edit::Unpack {
        table: TableId(1),
        leaf: second.leaf.path.clone(),
        files: files.to_vec(),
    };
    let Err(EditRefusal::Invalid(error)) = step(&two, 11, &unpack(&files[..1])) else { panic!("a file got lost") };
    assert!(error.message.contains("conserve"), "{error}");
    let back = step(&two, 11, &unpack(&files)).unwrap();
    assert_eq!((back.tables["t"].files.len(), back.tables["t"].leaves.len()), (2, 0));
    assert!(matches!(step(&back, 12, &unpack(&files)), Err(EditRefusal::Superseded)));
    let expired = Expired { table: TableId(1), files: Vec::new(), leaves: vec![second.leaf.clone()] };
    let gone = step(&two, 11, &Edit::Expire { tables: vec![expired] }).unwrap();
    assert_eq!(gone.tables["t"].dropped, sum(5).plus(sum(7)));
    assert!(violations(&gone, 11).is_empty());
}

#[test]
fn a_merge_around_a_leaf_is_void() {
    let mut state = settled((0, 9), (5, 19));
    state = step(&state, 9, &Edit::Seal).unwrap();
    state = step(&state, 10, &Edit::Freeze { floor: 6, epoch: 9, segments: vec![segment(6)] }).unwrap();
    state = step(&state, 11, &flush(&state, &[segment(6)], file("c", 6, (0, 19), 3))).unwrap();
    let job = packed(&state, &["b"], None, &[]);
    state = step(&state, 12, &Edit::Pack { tables: vec![job], base: 11 }).unwrap();
    let mut output = file("d", 1, (0, 19), 8);
    output.order = OrderRange { first: order(1), last: order(6) };
    output.sum = sum(5).plus(sum(3));
    let inputs = vec!["a".to_owned(), "c".to_owned()];
    let merge = Edit::Merge { table: TableId(1), inputs, outputs: vec![output], dropped: Digest::default(), base: 12 };
    assert!(matches!(step(&state, 13, &merge), Err(EditRefusal::Superseded)));
}

#[test]
fn a_damaged_leaf_is_noticed() {
    let files = settled((0, 9), (10, 19)).tables["t"].files.clone();
    let bytes = encode_leaf(&files).unwrap();
    let leaf = FileList::of("leaf/x".to_owned(), bytes.len() as u64, &files).unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1;
        let error = decode_leaf("leaf/x", &leaf, &damaged).expect_err("a flipped bit went unnoticed");
        assert!(error.message.contains("leaf/x"), "{error}");
    }
    let other = FileList { rows: 1, ..leaf };
    assert!(decode_leaf("leaf/x", &other, &bytes).is_err(), "another list than the manifest's");
}
