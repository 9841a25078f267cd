package io.headrace.operator.plan;

/** A column by name, and what it holds. */
public record ColumnRef(String name, ColumnType type) {}
