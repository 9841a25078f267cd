package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;

/** What a column holds, by the names of the plan in capitals. */
public enum ColumnKind {
    INT64,
    FLOAT64,
    STRING,
    BOOL;

    /** The kinds of the columns that a view reads, in their order. */
    static ColumnKind[] of(ViewPlan view) {
        return view.columns().stream()
                .map(column -> valueOf(column.type().name()))
                .toArray(ColumnKind[]::new);
    }
}
