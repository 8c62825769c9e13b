//! The rows of `VALUES`, each cell taken to its column by itself.

use std::collections::VecDeque;

use arrow::{
    array::{Array, ArrayRef, new_null_array},
    compute::concat,
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    sql::sqlparser::{
        ast::{Expr, Ident, Query, SelectItem, SetExpr},
        dialect::GenericDialect,
        parser::Parser,
    },
};
use futures::TryStreamExt;

use crate::model::{Code, Column, Error, Precision, Result};

use super::{
    super::{errors::from_datafusion, literals::Cell, output::Output, request::StatementRequest, select},
    exact::InsertTarget,
    not_matching,
};

/// The columns of the rows. Where all cells of a column are of one type they are left to be taken at
/// once; else each of them is taken here.
pub(super) async fn columns(
    request: &StatementRequest,
    rows: Vec<Vec<Cell<'_>>>,
    targets: &[Column],
    precision: Precision,
) -> Result<Vec<ArrayRef>> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        let message = "Datafusion: Error during planning: Inconsistent data length across values list";
        return Err(Error::new(Code::Planning, message));
    }
    if width != targets.len() {
        return Err(not_matching());
    }
    let expressions = rows.iter().flatten().filter_map(|cell| match cell {
        Cell::Expression(expr) => Some((*expr).clone()),
        Cell::Literal(_) => None,
    });
    let mut evaluated = evaluate(request, expressions.collect()).await?;
    let mut columns: Vec<Vec<ScalarValue>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(match cell {
                Cell::Literal(value) => value,
                Cell::Expression(_) => evaluated.pop_front().unwrap_or(ScalarValue::Null),
            });
        }
    }
    let column = |(values, column): (Vec<ScalarValue>, &Column)| {
        column_of(values, InsertTarget { column, precision, first_row: 0 })
    };
    columns.into_iter().zip(targets).map(column).collect()
}

/// The values of expressions, each of its own type: as the columns of one row.
async fn evaluate(request: &StatementRequest, expressions: Vec<Expr>) -> Result<VecDeque<ScalarValue>> {
    if expressions.is_empty() {
        return Ok(VecDeque::new());
    }
    let count = expressions.len();
    let Output::Rows { batches, .. } = select::query(request, Box::new(select(expressions)?)).await? else {
        return Err(Error::internal("a SELECT of expressions has no rows"));
    };
    let mut values = VecDeque::with_capacity(count);
    for batch in batches.try_collect::<Vec<_>>().await? {
        for column in batch.columns().iter().filter(|column| !column.is_empty()) {
            values.push_back(ScalarValue::try_from_array(column, 0).map_err(|error| from_datafusion(&error))?);
        }
    }
    if values.len() == count { Ok(values) } else { Err(Error::internal("a SELECT of expressions lost some")) }
}

/// `SELECT expression AS c0, expression AS c1, …`
fn select(expressions: Vec<Expr>) -> Result<Query> {
    let parsed =
        Parser::new(&GenericDialect {}).try_with_sql("SELECT NULL").and_then(|mut parser| parser.parse_query());
    let mut query = *parsed.map_err(|error| Error::internal(error.to_string()))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let named = |(index, expr)| SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("c{index}")) };
        select.projection = expressions.into_iter().enumerate().map(named).collect();
    }
    Ok(query)
}

/// One column of the rows, which are the first of the statement.
fn column_of(values: Vec<ScalarValue>, place: InsertTarget<'_>) -> Result<ArrayRef> {
    let mut types = values.iter().map(ScalarValue::data_type).filter(|data_type| *data_type != DataType::Null);
    let Some(first) = types.next() else { return Ok(new_null_array(&DataType::Null, values.len())) };
    if types.all(|data_type| data_type == first) {
        let typed_null = ScalarValue::try_from(&first).map_err(|error| from_datafusion(&error))?;
        let typed = values.into_iter().map(|value| if value.is_null() { typed_null.clone() } else { value });
        return ScalarValue::iter_to_array(typed).map_err(|error| from_datafusion(&error));
    }
    let taken = values.iter().enumerate().map(|(row, value)| {
        let cell = value.to_array().map_err(|error| from_datafusion(&error))?;
        InsertTarget { first_row: row, ..place }.take(&cell)
    });
    let taken: Vec<ArrayRef> = taken.collect::<Result<_>>()?;
    let taken: Vec<&dyn Array> = taken.iter().map(AsRef::as_ref).collect();
    Ok(concat(&taken)?)
}
