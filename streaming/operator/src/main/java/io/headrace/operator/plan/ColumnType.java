package io.headrace.operator.plan;

/** What a column holds, by the names of the contracts in capitals. */
public enum ColumnType {
    INT64,
    FLOAT64,
    STRING,
    BOOL
}
