//! A table drawn with lines, for people. All rows are held back: the widest decides. What a terminal would obey
//! in a text or a name is shown as `\u{1b}`.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult};
use arrow::util::pretty::pretty_format_batches_with_options;

use super::column::intervals;
use super::{DocumentEncoder, unwritable};
use crate::model::Result;
use crate::model::visible::{visible, visible_lines};

/// Draws a table.
pub struct TableEncoder {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl TableEncoder {
    pub fn new(schema: SchemaRef) -> TableEncoder {
        TableEncoder { schema, batches: Vec::new(), bytes: 0 }
    }
}

impl DocumentEncoder for TableEncoder {
    fn encode(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.batches.is_empty() {
            self.batches.push(RecordBatch::new_empty(self.schema.clone()));
        }
        let options = FormatOptions::new().with_display_error(true).with_formatter_factory(Some(&Cells));
        let batches = with_visible_names(&self.schema, std::mem::take(&mut self.batches)).map_err(unwritable)?;
        let drawn = pretty_format_batches_with_options(&batches, &options).map_err(unwritable)?;
        out.extend_from_slice(drawn.to_string().as_bytes());
        self.bytes = 0;
        Ok(())
    }

    fn held(&self) -> usize {
        self.bytes
    }
}

/// The batches with names of columns that can be printed.
fn with_visible_names(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    if schema.fields().iter().all(|field| visible(field.name()) == *field.name()) {
        return Ok(batches);
    }
    let named = |field: &Arc<Field>| field.as_ref().clone().with_name(visible(field.name()));
    let schema = Arc::new(Schema::new(schema.fields().iter().map(named).collect::<Vec<_>>()));
    batches.into_iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec())).collect()
}

/// Lets intervals read in a table as they do in csv, and texts, also those inside of others, be shown instead of
/// obeyed; everything else is left to Arrow.
#[derive(Debug)]
struct Cells;

impl ArrayFormatterFactory for Cells {
    fn create_array_formatter<'formatter>(
        &self,
        array: &'formatter dyn Array,
        options: &FormatOptions<'formatter>,
        _: Option<&'formatter Field>,
    ) -> Result<Option<ArrayFormatter<'formatter>>, ArrowError> {
        let cells: Box<dyn DisplayIndex + 'formatter> = match array.data_type() {
            DataType::Interval(unit) => Box::new(IntervalTexts(intervals(array, *unit), array)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Box::new(VisibleTexts(ArrayFormatter::try_new(array, options)?))
            }
            _ => return Ok(None),
        };
        Ok(Some(ArrayFormatter::new(cells, options.safe())))
    }
}

struct VisibleTexts<'a>(ArrayFormatter<'a>);

impl DisplayIndex for VisibleTexts<'_> {
    fn write(&self, row: usize, out: &mut dyn std::fmt::Write) -> FormatResult {
        Ok(out.write_str(&visible_lines(&self.0.value(row).to_string()))?)
    }
}

struct IntervalTexts<'a>(arrow::array::StringArray, &'a dyn Array);

impl DisplayIndex for IntervalTexts<'_> {
    fn write(&self, row: usize, out: &mut dyn std::fmt::Write) -> FormatResult {
        if !self.1.is_null(row) {
            out.write_str(self.0.value(row))?;
        }
        Ok(())
    }
}
