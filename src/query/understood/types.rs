//! Types, as `CAST` names them. The planner reads a length of text, and a width of numbers, and cuts
//! nothing.

use datafusion::sql::sqlparser::{
    ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, StructField},
    tokenizer::Span,
};

use crate::model::Result;

use super::refuse;

pub(super) fn data_type(data_type: &DataType, place: Span) -> Result<()> {
    match data_type {
        DataType::Boolean
        | DataType::Bool
        | DataType::Real
        | DataType::Float4
        | DataType::Float8
        | DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Float(ExactNumberInfo::None)
        | DataType::TinyInt(None)
        | DataType::SmallInt(None)
        | DataType::Int2(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::Int4(None)
        | DataType::BigInt(None)
        | DataType::Int8(None)
        | DataType::TinyIntUnsigned(None)
        | DataType::SmallIntUnsigned(None)
        | DataType::Int2Unsigned(None)
        | DataType::IntUnsigned(None)
        | DataType::IntegerUnsigned(None)
        | DataType::Int4Unsigned(None)
        | DataType::BigIntUnsigned(None)
        | DataType::Int8Unsigned(None)
        | DataType::Varchar(None)
        | DataType::Char(None)
        | DataType::String(None)
        | DataType::Text
        | DataType::Bytea
        | DataType::Date
        | DataType::Time(None, _)
        | DataType::Timestamp(_, _)
        | DataType::Numeric(_)
        | DataType::Decimal(_)
        | DataType::Interval { fields: None, precision: None } => Ok(()),
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::Parenthesis(inner),
        ) => self::data_type(inner, place),
        DataType::Struct(fields, _) => fields.iter().try_for_each(|field| {
            let StructField { field_name: _, field_type, options: _ } = field;
            self::data_type(field_type, place)
        }),
        other => refuse(&format!("the type {other}"), place),
    }
}
