package io.headrace.operator.plan;

import java.util.List;

/**
 * The mergeable intermediate of some features.
 *
 * @param column place of the column among those of the view, -1 for a count
 * @param columns places of the columns that are taken from the first or last row
 */
public record PartialPlan(
        Kind kind,
        int column,
        List<Integer> columns,
        boolean floating,
        boolean withSquares,
        boolean greatest,
        boolean last) {

    /** What is kept. */
    public enum Kind {
        COUNT,
        MOMENTS,
        EXTREME,
        EDGE,
        DISTINCT,
        THETA,
        HISTOGRAM
    }
}
