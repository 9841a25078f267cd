package io.headrace.operator.plan;

/**
 * One value of a view.
 *
 * @param partial place of the partial that it is read off
 * @param edgeColumn place among the columns of a first or last row
 * @param defaultValue what it is where there is nothing to aggregate, or null
 */
public record FeaturePlan(
        String name,
        Kind kind,
        int partial,
        int edgeColumn,
        ColumnType type,
        WindowPlan window,
        boolean excludeCurrent,
        Object defaultValue,
        long qNumerator,
        long qDenominator) {

    /** The aggregate. */
    public enum Kind {
        COUNT,
        SUM,
        MEAN,
        MIN,
        MAX,
        VARIANCE,
        STDDEV,
        FIRST,
        LAST,
        DISTINCT,
        APPROX_DISTINCT,
        QUANTILE
    }
}
