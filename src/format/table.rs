//! A table drawn with lines, for people. All rows are held back: the widest decides.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult};
use arrow::util::pretty::pretty_format_batches_with_options;

use super::column::intervals;
use super::{Encoder, unwritable};
use crate::model::Result;

/// Draws a table.
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Table {
    pub fn new(schema: SchemaRef) -> Table {
        Table { schema, batches: Vec::new(), bytes: 0 }
    }
}

impl Encoder for Table {
    fn encode(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.batches.is_empty() {
            self.batches.push(RecordBatch::new_empty(self.schema.clone()));
        }
        let options = FormatOptions::new().with_display_error(true).with_formatter_factory(Some(&IntervalWords));
        let drawn = pretty_format_batches_with_options(&self.batches, &options).map_err(unwritable)?;
        out.extend_from_slice(drawn.to_string().as_bytes());
        self.batches.clear();
        self.bytes = 0;
        Ok(())
    }

    fn held(&self) -> usize {
        self.bytes
    }
}

/// Lets intervals read in a table as they do in csv; everything else is left to Arrow.
#[derive(Debug)]
struct IntervalWords;

impl ArrayFormatterFactory for IntervalWords {
    fn create_array_formatter<'formatter>(
        &self,
        array: &'formatter dyn Array,
        options: &FormatOptions<'formatter>,
        _: Option<&'formatter Field>,
    ) -> Result<Option<ArrayFormatter<'formatter>>, ArrowError> {
        let DataType::Interval(unit) = array.data_type() else { return Ok(None) };
        let texts = IntervalTexts(intervals(array, *unit), array);
        Ok(Some(ArrayFormatter::new(Box::new(texts), options.safe())))
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
