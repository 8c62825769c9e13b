//! Tables by name.

use super::{Database, Engine};
use crate::database::Edit;
use crate::model::{Code, ColumnKind, Error, Result};

impl Engine {
    /// Creates a table of the given tags and fields; its time column is implicit.
    pub async fn create_table(
        &self,
        database: &Database,
        name: &str,
        columns: Vec<(String, ColumnKind)>,
        if_not_exists: bool,
    ) -> Result<()> {
        let edit = Edit::CreateTable { name: name.to_owned(), columns };
        match self.commit_after_flush(database, &edit).await {
            Err(error) if error.code == Code::TableExists && if_not_exists => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub async fn drop_table(&self, database: &Database, name: &str, if_exists: bool) -> Result<()> {
        let dropped = self.commit_after_flush(database, &Edit::DropTable { name: name.to_owned() }).await?;
        if dropped || if_exists {
            return Ok(());
        }
        Err(Error::new(Code::TableNotFound, format!("Table not found: \"{}.{name}\"", database.name)))
    }
}
