//! Statements that define databases and tables.

use crate::model::{ColumnKind, DatabaseOptions, Result};

use super::{output::Output, request::StatementRequest, statement::TableName};

pub(super) async fn create_database(
    request: &StatementRequest,
    name: &str,
    options: DatabaseOptions,
    if_not_exists: bool,
) -> Result<Output> {
    request.engine().create_database(request.session.tenant, name, options, if_not_exists).await?;
    Ok(Output::Nothing)
}

pub(super) async fn drop_database(request: &StatementRequest, name: &str, if_exists: bool) -> Result<Output> {
    request.engine().drop_database(request.session.tenant, name, if_exists).await?;
    Ok(Output::Nothing)
}

pub(super) async fn create_table(
    request: &StatementRequest,
    table: &TableName,
    columns: Vec<(String, ColumnKind)>,
    if_not_exists: bool,
) -> Result<Output> {
    let name = request.database_name(table)?;
    let database = request.engine().database(request.session.tenant, name).await?;
    request.engine().create_table(&database, &table.table, columns, if_not_exists).await?;
    Ok(Output::Nothing)
}

pub(super) async fn drop_table(request: &StatementRequest, table: &TableName, if_exists: bool) -> Result<Output> {
    let name = request.database_name(table)?;
    let database = request.engine().database(request.session.tenant, name).await?;
    request.engine().drop_table(&database, &table.table, if_exists).await?;
    Ok(Output::Nothing)
}
