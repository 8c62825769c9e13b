//! JSON (RFC 8259): one array of row objects, or one object a line.
//!
//! Every object has every key, in the order of the schema: clients pair the values of a row with the names
//! of the first. NULL, NaN and the infinities are `null`. No rows are `[]` as an array, and no lines.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use super::calendar::{Fraction, push_date, push_timestamp};
use super::column::{OutputColumn, OutputValues};
use super::number::{push_float, push_json, push_whole};
use super::{DocumentEncoder, unwritable};
use crate::model::{Code, Error, Result};

/// What stands around the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Array,
    Lines,
}

/// Writes JSON.
pub struct Json {
    framing: Framing,
    begun: bool,
}

impl Json {
    /// `[{…},{…}]`.
    ///
    /// # Errors
    /// [`Code::FetchResult`] when a column is of bytes or an interval.
    pub fn array(schema: SchemaRef) -> Result<Json> {
        check(schema.fields())?;
        Ok(Json { framing: Framing::Array, begun: false })
    }

    /// `{…}\n{…}\n`.
    ///
    /// # Errors
    /// As [`Json::array`].
    pub fn lines(schema: SchemaRef) -> Result<Json> {
        check(schema.fields())?;
        Ok(Json { framing: Framing::Lines, begun: false })
    }
}

impl DocumentEncoder for Json {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let schema = batch.schema();
        let members = members(schema.fields(), batch.columns())?;
        for row in 0..batch.num_rows() {
            match self.framing {
                Framing::Array => out.push(if self.begun { b',' } else { b'[' }),
                Framing::Lines => {}
            }
            self.begun = true;
            push_object(&members, row, out)?;
            if self.framing == Framing::Lines {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.framing {
            Framing::Array if self.begun => out.push(b']'),
            Framing::Array => out.extend_from_slice(b"[]"),
            Framing::Lines => {}
        }
        Ok(())
    }
}

/// Refuses the types that have no JSON form.
fn check<'a>(fields: impl IntoIterator<Item = &'a FieldRef>) -> Result<()> {
    fields.into_iter().try_for_each(|field| check_type(field.name(), field.data_type()))
}

fn check_type(name: &str, kind: &DataType) -> Result<()> {
    match kind {
        DataType::Interval(_) | DataType::Union(_, _) => Err(unsupported(name, kind)),
        kind if kind.is_binary() => Err(unsupported(name, kind)),
        DataType::Dictionary(_, values) => check_type(name, values),
        DataType::Struct(fields) => check(fields),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _)
        | DataType::RunEndEncoded(_, item) => check_type(name, item.data_type()),
        _ => Ok(()),
    }
}

fn unsupported(name: &str, kind: &DataType) -> Error {
    let message = format!("Fetch result: Json error: column {name} of type {kind} is not supported in JSON");
    Error::new(Code::FetchResult, message)
}

/// A key of an object with the values behind it.
struct Member {
    /// `"name":`
    key: Vec<u8>,
    value: Value,
}

fn members<'a>(fields: impl IntoIterator<Item = &'a FieldRef>, arrays: &[ArrayRef]) -> Result<Vec<Member>> {
    let pairs = fields.into_iter().zip(arrays);
    let member = |(field, array): (&FieldRef, &ArrayRef)| {
        let mut key = Vec::new();
        push_json(&mut key, field.name())?;
        key.push(b':');
        Ok(Member { key, value: Value::new(array)? })
    };
    pairs.map(member).collect()
}

fn push_object(members: &[Member], row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    for (place, member) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&member.key);
        member.value.push_or_null(row, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A column as JSON writes it: the text of coded values is escaped once, types with parts are taken apart.
struct Value {
    column: OutputColumn,
    escaped: Vec<Vec<u8>>,
    parts: Parts,
}

enum Parts {
    None,
    Object(Vec<Member>),
    /// Where each row's items begin, and how many they are.
    List {
        begins: Vec<usize>,
        lengths: Vec<usize>,
        items: Box<Value>,
    },
    /// As a list, of keys and values.
    Map {
        offsets: ScalarBuffer<i32>,
        keys: Box<Value>,
        values: Box<Value>,
    },
}

impl Value {
    fn new(array: &ArrayRef) -> Result<Value> {
        let column = OutputColumn::new(array, Fraction::AsNeeded)?;
        let mut escaped = Vec::new();
        if let OutputValues::Coded { places, values } = &column.values
            && values.len() <= places.len()
        {
            for place in 0..values.len() {
                let mut bytes = Vec::new();
                push_json(&mut bytes, values.value(place))?;
                escaped.push(bytes);
            }
        }
        let parts = match &column.values {
            OutputValues::Nested(array) => Parts::new(array)?,
            _ => Parts::None,
        };
        Ok(Value { column, escaped, parts })
    }

    /// Whether a row has nothing that JSON could write but `null`.
    fn is_absent(&self, row: usize) -> bool {
        if self.column.is_null(row) {
            return true;
        }
        match &self.column.values {
            OutputValues::Null => true,
            OutputValues::Single(values) => !values.value(row).is_finite(),
            OutputValues::Double(values) => !values.value(row).is_finite(),
            _ => false,
        }
    }

    /// Appends a row's value.
    fn push_or_null(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_absent(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.push(row, out)
    }

    /// Appends the value of a row that is not absent.
    fn push(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.column.values {
            OutputValues::Null => out.extend_from_slice(b"null"),
            OutputValues::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            OutputValues::Signed(values) => push_whole(out, values.value(row))?,
            OutputValues::Unsigned(values) => push_whole(out, values.value(row))?,
            OutputValues::Single(values) => push_float(out, f64::from(values.value(row)).abs(), values.value(row))?,
            OutputValues::Double(values) => push_float(out, values.value(row).abs(), values.value(row))?,
            OutputValues::Text(values) => push_json(out, values.value(row))?,
            OutputValues::Coded { places, values } => match self.escaped.get(places[row]) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => push_json(out, values.value(places[row]))?,
            },
            OutputValues::Timestamp { ticks, per_second, utc } => {
                out.push(b'"');
                push_timestamp(out, ticks[row], *per_second, Fraction::AsNeeded);
                out.extend_from_slice(if *utc { b"Z\"" } else { b"\"" });
            }
            OutputValues::Date(days) => {
                out.push(b'"');
                push_date(out, i64::from(days[row]));
                out.push(b'"');
            }
            OutputValues::Digits(values) => out.extend_from_slice(values.value(row).as_bytes()),
            OutputValues::Nested(_) => self.parts.push(row, out)?,
            OutputValues::Binary | OutputValues::Interval(_) => {
                return Err(Error::internal("json was given a type it refused"));
            }
        }
        Ok(())
    }
}

impl Parts {
    fn new(array: &ArrayRef) -> Result<Parts> {
        match array.data_type() {
            DataType::Struct(_) => Parts::object(array.as_struct()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let lengths = list.offsets().lengths().collect();
                let begins = list.offsets().iter().map(|offset| *offset as usize).collect();
                Parts::list(begins, lengths, list.values())
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = usize::try_from(*size).unwrap_or(0);
                Parts::list((0..list.len()).map(|row| row * size).collect(), vec![size; list.len()], list.values())
            }
            DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
                let plain = cast(array, &DataType::List(item.clone())).map_err(unwritable)?;
                Parts::new(&plain)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                Ok(Parts::Map {
                    offsets: map.offsets().inner().clone(),
                    keys: Box::new(Value::new(&cast(map.keys(), &DataType::Utf8).map_err(unwritable)?)?),
                    values: Box::new(Value::new(map.values())?),
                })
            }
            other => Err(unsupported("", other)),
        }
    }

    fn object(array: &StructArray) -> Result<Parts> {
        Ok(Parts::Object(members(array.fields(), array.columns())?))
    }

    fn list(begins: Vec<usize>, lengths: Vec<usize>, items: &ArrayRef) -> Result<Parts> {
        Ok(Parts::List { begins, lengths, items: Box::new(Value::new(items)?) })
    }

    fn push(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Parts::None => {}
            Parts::Object(members) => push_object(members, row, out)?,
            Parts::List { begins, lengths, items } => {
                out.push(b'[');
                for place in 0..lengths[row] {
                    if place > 0 {
                        out.push(b',');
                    }
                    items.push_or_null(begins[row] + place, out)?;
                }
                out.push(b']');
            }
            Parts::Map { offsets, keys, values } => {
                out.push(b'{');
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                for (count, entry) in entries.enumerate() {
                    if count > 0 {
                        out.push(b',');
                    }
                    keys.push(entry, out)?;
                    out.push(b':');
                    values.push_or_null(entry, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}
