//! The bounds hold for every function that there is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Int64Array, ListArray, StringArray, TimestampNanosecondArray},
        datatypes::Field,
    },
    config::ConfigOptions,
    execution::{
        SessionStateDefaults,
        memory_pool::{GreedyMemoryPool, MemoryPool},
    },
    logical_expr::{ReturnFieldArgs, type_coercion::functions::fields_with_udf},
};

use super::{
    weigh::{Unit, weigh},
    *,
};

const POOL_BYTES: usize = 512 << 20;

fn functions() -> Vec<Arc<ScalarUDF>> {
    scalar_functions(SessionStateDefaults::default_scalar_functions())
}

#[test]
fn every_function_is_decided_once() {
    let mut known: Vec<String> = functions().iter().map(|function| function.name().to_owned()).collect();
    let lambdas = SessionStateDefaults::default_higher_order_functions();
    known.extend(lambdas.iter().map(|function| function.name().to_owned()));
    let known: BTreeSet<String> = known.into_iter().collect();
    let named: Vec<&str> = table::FUNCTIONS.iter().flat_map(|row| row.names.iter().copied()).collect();
    let decided: BTreeSet<String> = named.iter().map(|name| (*name).to_owned()).collect();
    let undecided: Vec<_> = known.difference(&decided).collect();
    let gone: Vec<_> = decided.difference(&known).collect();
    assert!(
        undecided.is_empty(),
        "bound these in query/functions/table.rs, or say why they are harmless: {undecided:#?}"
    );
    assert!(gone.is_empty(), "DataFusion has no such functions: {gone:#?}");
    assert_eq!(named.len(), decided.len(), "a function is decided twice");
    assert!(table::FUNCTIONS.iter().all(|row| !row.why.is_empty()), "every decision has a reason");
}

#[test]
fn every_aggregate_is_decided_once() {
    let known: BTreeSet<String> =
        SessionStateDefaults::default_aggregate_functions().iter().map(|function| function.name().to_owned()).collect();
    let named: Vec<&str> = table::AGGREGATES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let decided: BTreeSet<String> = named.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(known, decided, "say in query/functions/table.rs what their states hold");
    assert_eq!(named.len(), decided.len(), "an aggregate is decided twice");
    assert!(table::AGGREGATES.iter().all(|(_, why)| !why.is_empty()), "every decision has a reason");
}

#[test]
fn every_table_function_is_bounded() {
    let known: BTreeSet<String> =
        SessionStateDefaults::default_table_functions().iter().map(|function| function.name().to_owned()).collect();
    assert_eq!(known, BTreeSet::from(["generate_series".to_owned(), "range".to_owned()]));
}

/// Whatever a statement calls a function.
#[test]
fn names_and_aliases_lead_to_the_bounds() {
    let context = crate::query::context::Context::new(&crate::model::limits::Limits::default()).unwrap();
    let registered = context.registered();
    for (name, function) in registered.scalar_functions() {
        let row = table::find(function.name())
            .unwrap_or_else(|| panic!("{name} is {}, of which nothing is known", function.name()));
        assert_eq!(
            row.output == OutputSize::Plain && ![&KEPT[..], &INVERTED[..]].concat().contains(&function.name()),
            !function.inner().is::<Bounded>(),
            "{name}"
        );
    }
    for (name, function) in registered.higher_order_functions() {
        assert!((function.inner().as_ref() as &dyn std::any::Any).is::<BoundedLambda>(), "{name}");
    }
}

fn allowance(time: Duration, pool: &Arc<dyn MemoryPool>) -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::new();
    let allowance = Allowance::new(tokio::time::Instant::now() + time, time, pool.clone());
    allowance.planned().unwrap();
    options.extensions.insert(allowance);
    Arc::new(options)
}

/// A call; `None` if the function takes no such arguments, or none but as their texts.
fn prepared(
    function: &ScalarUDF,
    arguments: &[ColumnarValue],
    rows: usize,
    options: &Arc<ConfigOptions>,
) -> Option<ScalarFunctionArgs> {
    let field = |value: &ColumnarValue| Arc::new(Field::new("a", value.data_type(), true));
    let fields: Vec<_> = arguments.iter().map(field).collect();
    let arg_fields = fields_with_udf(&fields, function).ok()?;
    let pairs = || arguments.iter().zip(&arg_fields);
    if pairs().any(|(value, field)| value.data_type().is_nested() != field.data_type().is_nested()) {
        return None;
    }
    let args: Vec<ColumnarValue> =
        pairs().map(|(value, field)| value.cast_to(field.data_type(), None)).collect::<Result<_>>().ok()?;
    let scalars = vec![None; args.len()];
    let described = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars };
    let return_field = function.return_field_from_args(described).ok()?;
    Some(ScalarFunctionArgs { args, arg_fields, number_rows: rows, return_field, config_options: options.clone() })
}

/// The arguments, as the function takes them, and what it makes of them.
fn call(
    function: &ScalarUDF,
    arguments: &[ColumnarValue],
    rows: usize,
    options: &Arc<ConfigOptions>,
) -> Option<Result<(Vec<ColumnarValue>, ColumnarValue)>> {
    let prepared = prepared(function, arguments, rows, options)?;
    let args = prepared.args.clone();
    Some(function.invoke_with_args(prepared).map(|output| (args, output)))
}

fn texts(text: &str, rows: usize) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(StringArray::from(vec![text; rows])))
}

fn numbers(number: i64, rows: usize) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(Int64Array::from(vec![number; rows])))
}

fn moments(rows: usize) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(TimestampNanosecondArray::from(vec![1_795_478_400_000_000_000; rows])))
}

fn lists(elements: i64, rows: usize) -> ColumnarValue {
    let row = || Some((0..elements).map(Some).collect::<Vec<_>>());
    let lists =
        ListArray::from_iter_primitive::<datafusion::arrow::datatypes::Int64Type, _, _>((0..rows).map(|_| row()));
    ColumnarValue::Array(Arc::new(lists))
}

/// Lists of lists.
fn nested(outer: usize, inner: i64, rows: usize) -> ColumnarValue {
    let ColumnarValue::Array(lists) = lists(inner, outer * rows) else { unreachable!("lists are an array") };
    let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths(vec![outer; rows]);
    let field = Arc::new(Field::new("item", lists.data_type().clone(), true));
    ColumnarValue::Array(Arc::new(ListArray::new(field, offsets, lists, None)))
}

/// Arguments that are as large as a client can make them, of all kinds, for any function that takes them.
fn arguments(size: i64, rows: usize) -> Vec<Vec<ColumnarValue>> {
    let length = usize::try_from(size).unwrap();
    let text = texts(&"A".repeat(length), rows);
    let pattern = texts(".*[^A-Z]|[A-Z]", rows);
    let format = texts(&"%c".repeat(length / 2), rows);
    let (all, one) = (texts("g", rows), texts("A", rows));
    let number = numbers(size * 5_000, rows);
    let list = lists(size, rows);
    let nested = nested(16, size, rows);
    let mut found = Vec::new();
    for kind in [&text, &number, &list, &nested] {
        found.push(vec![kind.clone()]);
        for other in [&text, &number, &list, &nested] {
            found.push(vec![kind.clone(), other.clone()]);
            found.push(vec![kind.clone(), other.clone(), kind.clone()]);
        }
        found.push(vec![kind.clone(); 4]);
        found.push(vec![kind.clone(); 60]);
    }
    found.push(vec![text.clone(), text.clone(), number.clone()]);
    found.push(vec![list.clone(), number.clone(), number.clone()]);
    found.push(vec![list.clone(), number.clone(), number.clone(), number.clone()]);
    found.push(vec![text.clone(), pattern.clone()]);
    found.push(vec![text.clone(), one.clone(), text.clone()]);
    found.push(vec![text.clone(), pattern.clone(), text.clone()]);
    found.push(vec![text.clone(), pattern.clone(), one, all]);
    found.push(vec![text, pattern, numbers(1, rows), number]);
    found.push(vec![moments(rows), format]);
    found
}

/// Ends, by its own bounds or at the deadline, and makes no more than it may. Functions are neither
/// optimised nor alone when tests run, so that "at once" is several seconds.
#[test]
fn every_function_ends_and_is_bounded() {
    const TIME: Duration = Duration::from_millis(500);
    const LATE: Duration = Duration::from_secs(15);
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(POOL_BYTES));
    let mut called: BTreeSet<String> = BTreeSet::new();
    for arguments in arguments(40_000, 3) {
        for function in functions().iter().filter(|function| function.inner().is::<Bounded>()) {
            let Some(called_with) = prepared(function, &arguments, 3, &allowance(TIME, &pool)) else { continue };
            let started = Instant::now();
            let result = function.invoke_with_args(called_with);
            assert!(started.elapsed() < TIME + LATE, "{} took {:?}", function.name(), started.elapsed());
            called.insert(function.name().to_owned());
            if let Ok(output) = result {
                let output = output.into_array(3).unwrap();
                let bytes = sum(&weigh(&output, Unit::Bytes), 3);
                assert!(bytes <= CALL_BYTES, "{} made {bytes} bytes", function.name());
            }
            assert_eq!(pool.reserved(), 0, "{} keeps memory", function.name());
        }
    }
    let bounded = functions().into_iter().filter(|function| function.inner().is::<Bounded>());
    let never: Vec<String> =
        bounded.map(|function| function.name().to_owned()).filter(|name| !called.contains(name)).collect();
    let other = ["date_part", "map_entries", "map_extract", "map_keys", "map_values"];
    assert!(never.iter().all(|name| other.contains(&name.as_str())), "no arguments were found for {never:?}");
}

fn sum(measure: &weigh::Measure, rows: usize) -> u64 {
    (0..rows).map(|row| measure.at(row)).sum()
}

/// What is measured is never less than what is made.
#[test]
fn no_function_makes_more_than_was_measured() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(POOL_BYTES));
    let options = allowance(Duration::from_secs(600), &pool);
    for size in [1, 7, 40] {
        let mut small = arguments(size, 3);
        // The large numbers of the other test are refused.
        small.extend([texts("AbA", 3), lists(5, 3), nested(3, 4, 3)].into_iter().flat_map(|value| {
            let replaced = vec![value.clone(), numbers(size, 3), value.clone()];
            vec![vec![value, numbers(size, 3)], replaced]
        }));
        for arguments in small {
            for row in table::FUNCTIONS {
                let OutputSize::Grows(growth) = row.output else { continue };
                for function in functions().iter().filter(|function| row.names.contains(&function.name())) {
                    let Some(Ok((args, output))) = call(function, &arguments, 3, &options) else { continue };
                    let measured = measure::check(function.name(), growth, &args).unwrap();
                    let output = output.into_array(3).unwrap();
                    // Offsets and views of the rows themselves are not counted.
                    let (measured, made) = (sum(&measured, 3), sum(&weigh(&output, Unit::Bytes), 3));
                    assert!(made <= measured + 3 * 24, "{}: {made} bytes, measured {measured}", function.name());
                }
            }
        }
    }
}

#[test]
fn what_is_made_counts_in_the_pool_until_it_is_gone() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(40 << 20));
    let options = allowance(Duration::from_secs(60), &pool);
    let repeat = functions().into_iter().find(|function| function.name() == "repeat").unwrap();
    let arguments = [texts("0123456789", 3), numbers(1_000_000, 3)];
    let (_, made) = call(&repeat, &arguments, 3, &options).unwrap().unwrap();
    let held = pool.reserved();
    assert!(held >= 30_000_000, "{held}");
    let slice: ArrayRef = made.into_array(3).unwrap().slice(1, 1);
    assert_eq!(pool.reserved(), held);
    assert_eq!(slice.len(), 1);
    let error = call(&repeat, &arguments, 3, &options).unwrap().unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
    drop(slice);
    assert_eq!(pool.reserved(), 0);
}

#[test]
fn weights_count_all_levels() {
    let bytes = |value: &ColumnarValue| {
        let array = value.to_array(1).unwrap();
        sum(&weigh(&array, Unit::Bytes), array.len())
    };
    assert_eq!(bytes(&lists(1_000, 2)), 2 * (8_000 + 4));
    assert_eq!(bytes(&nested(16, 1_000, 2)), 2 * (16 * (8_000 + 4) + 4));
    let slice = |value: ColumnarValue| ColumnarValue::Array(value.to_array(1).unwrap().slice(1, 1));
    assert_eq!(bytes(&slice(nested(16, 1_000, 2))), 16 * (8_000 + 4) + 4);
    assert_eq!(bytes(&texts("12345", 3)), 3 * (5 + 4));
}
