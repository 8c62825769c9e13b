//! What stands in `FROM`.

use datafusion::sql::sqlparser::{
    ast::{
        FunctionArg, Join, JoinConstraint, JoinOperator, Spanned, TableAlias, TableAliasColumnDef, TableFactor,
        TableFunctionArgs, TableWithJoins,
    },
    tokenizer::Span,
};

use crate::model::Result;

use super::{absent, refuse};

pub(super) fn table_with_joins(table: &TableWithJoins) -> Result<()> {
    // The relation is visited by itself.
    let TableWithJoins { relation: _, joins } = table;
    joins.iter().try_for_each(join)
}

pub(super) fn join(join: &Join) -> Result<()> {
    let Join { relation, global, join_operator } = join;
    let place = relation.span();
    absent(*global, "GLOBAL JOIN", place)?;
    match join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => match constraint {
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => Ok(()),
        },
        JoinOperator::CrossJoin(JoinConstraint::None) => Ok(()),
        JoinOperator::CrossJoin(_) => refuse("CROSS JOIN with a condition", place),
        _ => refuse("this kind of JOIN", place),
    }
}

pub(super) fn alias(alias: &TableAlias) -> Result<()> {
    let TableAlias { explicit: _, name, columns, at } = alias;
    absent(at.is_some(), "AT in a table's alias", name.span)?;
    columns.iter().try_for_each(|column| {
        let TableAliasColumnDef { name, data_type } = column;
        absent(data_type.is_some(), "a column's type in a table's alias", name.span)
    })
}

pub(super) fn table_factor(factor: &TableFactor) -> Result<()> {
    let place = factor.span();
    let name = match factor {
        TableFactor::Table { .. } => return table(factor, place),
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            absent(sample.is_some(), "TABLESAMPLE", place)?;
            return alias.iter().try_for_each(self::alias);
        }
        TableFactor::Function { lateral: _, name: _, args, with_ordinality, alias } => {
            absent(*with_ordinality, "WITH ORDINALITY", place)?;
            args.iter().try_for_each(argument)?;
            return alias.iter().try_for_each(self::alias);
        }
        TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias, with_ordinality } => {
            absent(*with_offset || with_offset_alias.is_some(), "WITH OFFSET", place)?;
            absent(*with_ordinality, "WITH ORDINALITY", place)?;
            return alias.iter().try_for_each(self::alias);
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            self::table_with_joins(table_with_joins)?;
            return alias.iter().try_for_each(self::alias);
        }
        TableFactor::TableFunction { .. } => "TABLE(…)",
        TableFactor::JsonTable { .. } => "JSON_TABLE",
        TableFactor::OpenJsonTable { .. } => "OPENJSON",
        TableFactor::Pivot { .. } => "PIVOT",
        TableFactor::Unpivot { .. } => "UNPIVOT",
        TableFactor::MatchRecognize { .. } => "MATCH_RECOGNIZE",
        TableFactor::XmlTable { .. } => "XMLTABLE",
        _ => "this kind of relation",
    };
    refuse(name, place)
}

/// A table, or a function that is called as one.
fn table(factor: &TableFactor, place: Span) -> Result<()> {
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = factor
    else {
        return Ok(());
    };
    if let Some(TableFunctionArgs { args, settings }) = args {
        absent(name.0.len() != 1, "a function of a database", place)?;
        absent(settings.is_some(), "SETTINGS", place)?;
        args.iter().try_for_each(argument)?;
    }
    absent(!with_hints.is_empty(), "WITH (hints)", place)?;
    absent(version.is_some(), "an earlier version of a table", place)?;
    absent(*with_ordinality, "WITH ORDINALITY", place)?;
    absent(!partitions.is_empty(), "PARTITION (…)", place)?;
    absent(json_path.is_some(), "a path after a table", place)?;
    absent(sample.is_some(), "TABLESAMPLE", place)?;
    absent(!index_hints.is_empty(), "USE, FORCE or IGNORE INDEX", place)?;
    alias.iter().try_for_each(self::alias)
}

/// An argument of a function in `FROM`, of which names are passed over.
fn argument(argument: &FunctionArg) -> Result<()> {
    match argument {
        FunctionArg::Unnamed(_) => Ok(()),
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
            refuse("named arguments of a function in FROM", argument.span())
        }
    }
}
