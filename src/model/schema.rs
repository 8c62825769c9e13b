//! Columns and tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::{ids::ColumnId, time::Precision};

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FieldType {
    Double,
    BigInt,
    BigIntUnsigned,
    Boolean,
    String,
}

impl FieldType {
    /// As SQL spells it.
    pub fn sql_name(self) -> &'static str {
        match self {
            FieldType::Double => "DOUBLE",
            FieldType::BigInt => "BIGINT",
            FieldType::BigIntUnsigned => "BIGINT UNSIGNED",
            FieldType::Boolean => "BOOLEAN",
            FieldType::String => "STRING",
        }
    }

    /// The arrow type of stored and logged values.
    pub fn storage_type(self) -> DataType {
        match self {
            FieldType::Double => DataType::Float64,
            FieldType::BigInt => DataType::Int64,
            FieldType::BigIntUnsigned => DataType::UInt64,
            FieldType::Boolean => DataType::Boolean,
            FieldType::String => DataType::Utf8,
        }
    }
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    Time,
    Tag,
    Field(FieldType),
}

impl ColumnKind {
    /// As messages and `DESCRIBE` name it: `TIME`, `TAG`, `FIELD`.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Time => "TIME",
            ColumnKind::Tag => "TAG",
            ColumnKind::Field(_) => "FIELD",
        }
    }

    /// The arrow type a query sees: strings as views, time in the database's unit without a zone.
    pub fn query_type(self, precision: Precision) -> DataType {
        match self {
            ColumnKind::Time => DataType::Timestamp(precision.time_unit(), None),
            ColumnKind::Tag | ColumnKind::Field(FieldType::String) => DataType::Utf8View,
            ColumnKind::Field(field_type) => field_type.storage_type(),
        }
    }
}

/// One column of a table's incarnation. Its id and kind never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub kind: ColumnKind,
}

/// A table's columns: time first, then in the order they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    pub columns: Vec<Column>,
}

/// The name of the time column, in every table.
pub const TIME_COLUMN: &str = "time";

impl TableSchema {
    /// A table with only its time column.
    pub fn new() -> Self {
        TableSchema {
            columns: vec![Column { id: ColumnId::TIME, name: TIME_COLUMN.to_owned(), kind: ColumnKind::Time }],
        }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The tags in key order, which is the order of their ids.
    pub fn tags(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.kind == ColumnKind::Tag)
    }

    /// The arrow schema a query sees; only time is never null.
    pub fn query_schema(&self, precision: Precision) -> SchemaRef {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|column| {
                let nullable = column.kind != ColumnKind::Time;
                Field::new(&column.name, column.kind.query_type(precision), nullable)
            })
            .collect();
        Arc::new(Schema::new(fields))
    }
}

impl Default for TableSchema {
    fn default() -> Self {
        TableSchema::new()
    }
}
