package io.headrace.operator.expression;

import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** Compiles the nodes of a plan to expressions. */
public final class Expressions {
    private Expressions() {}

    /** The expression of a node over rows of the named columns. */
    public static Expression compile(JsonNode node, List<String> columns) {
        throw new UnsupportedOperationException("expressions");
    }
}
