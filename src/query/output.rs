//! The results of statements.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::stream::{self, BoxStream};

use crate::{format::Format, model::Result};

use super::shares::HeldMemory;

/// What a statement answers.
pub enum Output {
    /// Done; there is nothing to say.
    Nothing,
    /// What `SHOW` and `DESCRIBE` tell, and how many rows an `INSERT` wrote.
    Description(RecordBatch),
    /// Rows. Dropping the stream cancels the query.
    Rows {
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch>>,
        /// Where their reader reserves what it holds of them.
        share: HeldMemory,
    },
}

/// The shape of rows, and the rows.
pub struct ResultRows {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// Of those of a query.
    pub share: Option<HeldMemory>,
}

impl Output {
    /// The rows as they are to be shown in a format; `None` when there is nothing to show.
    ///
    /// # Errors
    /// As [`Format::description`].
    pub fn into_rows(self, format: Format) -> Result<Option<ResultRows>> {
        match self {
            Output::Nothing => Ok(None),
            Output::Description(batch) => {
                let batch = format.description(batch)?;
                let (schema, batches) = (batch.schema(), Box::pin(stream::once(async { Ok(batch) })));
                Ok(Some(ResultRows { schema, batches, share: None }))
            }
            Output::Rows { schema, batches, share } => Ok(Some(ResultRows { schema, batches, share: Some(share) })),
        }
    }
}
