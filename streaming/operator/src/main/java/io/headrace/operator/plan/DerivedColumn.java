package io.headrace.operator.plan;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** A column that is computed from the others of its row. */
public record DerivedColumn(String name, ColumnType type, JsonNode expression) {}
