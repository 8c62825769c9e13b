//! Rows of the tail on their way into a plan: which rows of which segments, and how they become batches.

use std::{ops::Range, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringViewBuilder, UInt32Array, new_null_array},
    compute::{cast, interleave, take},
    datatypes::{DataType, FieldRef, Int32Type},
};

use crate::{
    engine::{SegmentProjection, TailPart},
    model::{Error, Result},
    table, wal,
};

/// Some rows of a segment's table, in its order.
#[derive(Debug, Clone)]
pub(super) struct TailSelection {
    pub part: TailPart,
    /// `None`: all of them.
    runs: Option<Arc<[Range<usize>]>>,
    count: usize,
}

impl TailSelection {
    pub(super) fn all(part: TailPart) -> TailSelection {
        let count = part.rows().batch.num_rows();
        TailSelection { part, runs: None, count }
    }

    /// The rows of these runs, which are in order and apart.
    pub(super) fn some(part: TailPart, runs: Vec<Range<usize>>) -> TailSelection {
        let count = runs.iter().map(|run| run.len()).sum();
        TailSelection { part, runs: Some(runs.into()), count }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Where the rows stand in the segment.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.runs.is_none().then_some(0..self.count);
        all.into_iter().chain(self.runs.iter().flat_map(|runs| runs.iter().cloned())).flatten()
    }

    /// The times of all rows of the segment, chosen or not, as ticks.
    pub(super) fn times(&self) -> Result<&[i64]> {
        let batch = &self.part.rows().batch;
        table::ticks(batch, wal::key_of(batch.schema_ref())?.time)
    }

    /// The rows in the columns of the projection.
    pub(super) fn project(&self, projection: &SegmentProjection) -> Result<RecordBatch> {
        let batch = &self.part.rows().batch;
        let indices = match self.runs.as_deref() {
            None | Some([_]) => None,
            Some(_) => Some(UInt32Array::from_iter_values(self.positions().filter_map(|row| u32::try_from(row).ok()))),
        };
        projection.project_with(batch, self.count, |column| match (&indices, self.runs.as_deref()) {
            (Some(indices), _) => Ok(take(column, indices, None)?),
            (None, Some([run])) => Ok(column.slice(run.start, run.len())),
            (None, _) => Ok(column.clone()),
        })
    }
}

/// A few rows of each of many segments in one batch, without a batch for each.
pub(super) fn gather(parts: &[TailSelection], projection: &SegmentProjection) -> Result<RecordBatch> {
    let places: Vec<(usize, usize)> = parts
        .iter()
        .enumerate()
        .flat_map(|(number, rows)| rows.positions().map(move |position| (number, position)))
        .collect();
    let columns = projection.columns().enumerate();
    let columns = columns.map(|(column, (name, field))| gather_column(parts, &places, column, name, field));
    projection.batch(columns.collect::<Result<_>>()?, places.len())
}

/// One column, which stands at `place` if a segment has all of them.
fn gather_column(
    parts: &[TailSelection],
    places: &[(usize, usize)],
    mut place: usize,
    name: &str,
    field: &FieldRef,
) -> Result<ArrayRef> {
    // Mostly a column stands where it stood in the segment before.
    let mut find = |batch: &'_ RecordBatch| {
        let fields = batch.schema_ref().fields();
        if fields.get(place).is_none_or(|field| field.name() != name) {
            place = fields.iter().position(|field| field.name() == name)?;
        }
        Some(place)
    };
    let columns = parts.iter().map(|rows| &rows.part.rows().batch);
    let columns: Vec<Option<&ArrayRef>> = columns.map(|batch| find(batch).map(|place| batch.column(place))).collect();
    if columns.iter().flatten().any(|column| matches!(column.data_type(), DataType::Dictionary(..))) {
        return gather_tags(&columns, places);
    }
    let Some(data_type) = columns.iter().flatten().next().map(|column| column.data_type().clone()) else {
        return Ok(new_null_array(field.data_type(), places.len()));
    };
    // A segment without the column stands for one null.
    let null = new_null_array(&data_type, 1);
    let arrays: Vec<&dyn Array> = columns.iter().map(|column| column.unwrap_or(&null).as_ref()).collect();
    let place = |(number, row): &(usize, usize)| (*number, if columns[*number].is_some() { *row } else { 0 });
    let places: Vec<(usize, usize)> = places.iter().map(place).collect();
    let gathered = interleave(&arrays, &places)?;
    if gathered.data_type() == field.data_type() { Ok(gathered) } else { Ok(cast(&gathered, field.data_type())?) }
}

fn gather_tags(columns: &[Option<&ArrayRef>], places: &[(usize, usize)]) -> Result<ArrayRef> {
    let mut tags = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(column) = column else {
            tags.push(None);
            continue;
        };
        let typed = column.as_dictionary_opt::<Int32Type>();
        let typed = typed.and_then(|tags| Some((tags.keys(), tags.values().as_string_opt::<i32>()?)));
        let refused = || Error::internal(format!("a tag is logged as {}", column.data_type()));
        tags.push(Some(typed.ok_or_else(refused)?));
    }
    let mut gathered = StringViewBuilder::with_capacity(places.len());
    for (number, row) in places {
        let held = tags[*number].filter(|(keys, _)| keys.is_valid(*row));
        let text = held.and_then(|(keys, texts)| {
            let key = usize::try_from(keys.value(*row)).ok()?;
            texts.is_valid(key).then(|| texts.value(key))
        });
        gathered.append_option(text);
    }
    Ok(Arc::new(gathered.finish()))
}
