//! Every function that a statement can call, with what bounds it. A test walks the session's registry
//! and fails for a function that is not here, so that one that a newer DataFusion brings is looked at
//! before somebody ends the process with it.

use super::{measure::Growth, work::Work};

/// How large what a function makes may be beside what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputSize {
    /// Something of fixed size from things of fixed size, or one of its arguments: DataFusion's own is
    /// called as it is.
    Plain,
    /// At most a few times its arguments, which are bounded; or something of fixed size from what may be
    /// long.
    AsInput,
    /// As that, and a copy even where nothing is changed.
    Copied,
    /// Measured before it is made.
    Grows(Growth),
}

use OutputSize::{AsInput, Copied, Grows, Plain};

/// Some functions and what is known of them.
pub(super) struct Row {
    pub names: &'static [&'static str],
    pub output: OutputSize,
    /// What one call costs beyond reading its arguments once.
    pub work: Option<Work>,
    /// Only told to who reads this.
    #[cfg_attr(not(test), expect(dead_code, reason = "a reason is for readers, and for the test that asks for one"))]
    pub why: &'static str,
}

const fn row(names: &'static [&'static str], output: OutputSize, why: &'static str) -> Row {
    Row { names, output, work: None, why }
}

const fn costly(names: &'static [&'static str], output: OutputSize, work: Work, why: &'static str) -> Row {
    Row { names, output, work: Some(work), why }
}

/// The row of a function, by its name and not by an alias.
pub(super) fn find(function: &str) -> Option<&'static Row> {
    FUNCTIONS.iter().find(|row| row.names.contains(&function))
}

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Row] = &[
    row(&["abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "cot",
        "degrees", "exp", "factorial", "floor", "gcd", "isnan", "iszero", "lcm", "ln", "log", "log10", "log2",
        "nanvl", "pi", "power", "radians", "random", "round", "signum", "sin", "sinh", "sqrt", "tan", "tanh",
        "trunc"],
        Plain, "a number from numbers"),
    row(&["current_date", "current_time", "date_bin", "date_part", "date_trunc", "from_unixtime", "make_date",
        "make_time", "now", "to_local_time"],
        Plain, "a moment or a number from moments and numbers; words for units are short, or an error"),
    row(&["chr", "to_hex", "uuid", "version"], Plain, "a short text"),
    row(&["arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"],
        Plain, "become CAST, whose types are bounded"),
    row(&["coalesce", "nullif", "nvl", "nvl2", "greatest", "least"],
        Plain, "one of the arguments; a long constant among them is bounded by itself"),
    row(&["get_field", "named_struct", "struct", "union_extract", "with_metadata"],
        Plain, "columns that are shared, not copied; a long constant among them is bounded by itself"),
    row(&["arrow_field", "arrow_metadata", "arrow_typeof", "union_tag"],
        Plain, "tells of a type, once for all rows"),

    row(&["ascii", "bit_length", "character_length", "contains", "ends_with", "octet_length", "starts_with",
        "find_in_set", "to_unixtime"],
        AsInput, "a number or a truth from a text, in one pass"),
    row(&["to_date", "to_time", "to_timestamp", "to_timestamp_micros", "to_timestamp_millis",
        "to_timestamp_nanos", "to_timestamp_seconds"],
        AsInput, "a moment from a text, in one pass for each format"),
    row(&["md5", "sha224", "sha256", "sha384", "sha512", "digest"], AsInput, "64 bytes at most from a text, in one pass"),
    row(&["btrim", "left", "ltrim", "right", "rtrim", "split_part", "substr", "substr_index"],
        AsInput, "a part of a text"),
    row(&["initcap", "lower", "reverse", "upper"], Copied, "each character becomes three at most"),
    row(&["translate"], Copied, "each character becomes another one, of four bytes at most"),
    row(&["decode"], Copied, "shorter than its argument"),

    row(&["array_any_value", "array_compact", "array_distinct", "array_element", "array_except", "array_intersect",
        "array_max", "array_min", "array_pop_back", "array_pop_front", "array_remove", "array_remove_all",
        "array_remove_n", "array_reverse", "array_slice", "flatten", "map_entries", "map_extract", "map_keys",
        "map_values"],
        AsInput, "elements of one list, each at most once"),
    costly(&["array_sort"], AsInput, Work::Sort, "the elements of one list"),
    row(&["array_add", "array_normalize", "array_position", "array_positions", "array_scale", "array_subtract"],
        AsInput, "a number for each element of a list, in one pass"),
    row(&["array_avg", "array_dims", "array_distance", "array_has", "array_length", "array_ndims",
        "array_product", "array_sum", "cardinality", "cosine_distance", "empty", "inner_product"],
        AsInput, "a number or a truth from lists, in one pass"),
    costly(&["array_has_all", "array_has_any"], AsInput, Work::Elements, "compares each element with each"),

    row(&["repeat"], Grows(Growth::Repeat), "as often as it is told"),
    row(&["lpad", "rpad"], Grows(Growth::Pad), "as long as it is told"),
    row(&["replace"], Grows(Growth::Replace), "a text for each that is found"),
    row(&["concat", "overlay"], Grows(Growth::Sum), "all arguments together"),
    row(&["concat_ws"], Grows(Growth::Join), "all arguments together, and what separates them"),
    row(&["encode"], Grows(Growth::Encode), "two characters a byte"),
    costly(&["to_char"], Grows(Growth::Format), Work::Output, "two characters of a format become up to 64"),
    row(&["string_to_array"], Grows(Growth::Split), "each character may become an element"),
    costly(&["levenshtein"], AsInput, Work::Texts, "compares each character with each"),
    costly(&["strpos"], AsInput, Work::Texts, "may compare a text with another at each of its characters"),
    costly(&["regexp_like"], AsInput, Work::Search, "a truth from a text"),
    costly(&["regexp_count"], AsInput, Work::SearchAll, "a number from a text"),
    costly(&["regexp_instr"], AsInput, Work::SearchAll, "a number from a text"),
    costly(&["regexp_match"], Grows(Growth::RegexpMatch), Work::Search, "each group may be all of the text"),
    costly(&["regexp_replace"], Grows(Growth::RegexpReplace), Work::SearchAll, "a text for each match"),

    row(&["range", "generate_series"], Grows(Growth::Series), "as long as it is told"),
    row(&["array_repeat"], Grows(Growth::ListRepeat), "as often as it is told"),
    row(&["array_resize"], Grows(Growth::ListResize), "as long as it is told"),
    row(&["array_concat"], Grows(Growth::ListSum), "all lists together"),
    row(&["array_append", "array_prepend", "array_union", "make_array", "map"],
        Grows(Growth::Holds), "all arguments together"),
    row(&["arrays_zip"], Grows(Growth::Zip), "all lists together, each as long as the longest"),
    row(&["array_replace", "array_replace_all", "array_replace_n"],
        Grows(Growth::ListReplace), "each element may become another one"),
    row(&["array_to_string"], Grows(Growth::ListJoin), "all elements as text, and what separates them"),

    row(&["array_any_match", "array_filter", "array_first", "array_transform"],
        Grows(Growth::Lambda), "what a lambda takes from its row is copied for each element"),
];

/// Aggregates, each with what its state holds. They ask the memory pool for their states.
#[cfg(test)]
#[rustfmt::skip]
pub(super) const AGGREGATES: &[(&[&str], &str)] = &[
    (&["avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "grouping",
        "covar_samp", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx",
        "regr_sxy", "regr_syy", "stddev", "stddev_pop", "sum", "var", "var_pop"],
        "a few numbers"),
    (&["any_value", "first_value", "last_value", "max", "min", "nth_value"], "some of the values"),
    (&["array_agg", "median", "percentile_cont", "string_agg"], "all values, which the pool counts"),
    (&["approx_distinct"], "a sketch of fixed size"),
    (&["approx_median", "approx_percentile_cont", "approx_percentile_cont_with_weight"],
        "a sketch of as many parts as it is told, which is bounded where it is planned"),
];
