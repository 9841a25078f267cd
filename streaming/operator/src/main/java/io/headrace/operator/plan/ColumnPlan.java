package io.headrace.operator.plan;

/**
 * A column of a contract, with what its values have to be; null leaves a side open.
 *
 * <p>Lengths count code points. A pattern is searched for. Minimum and maximum are inclusive, a Long
 * or a Double.
 */
public record ColumnPlan(
        String name,
        ColumnType type,
        boolean nullable,
        Number minimum,
        Number maximum,
        Integer minLength,
        Integer maxLength,
        String pattern,
        Role role) {

    /** What a column is for, where that changes how a record is checked. */
    public enum Role {
        VALUE,
        IDENTIFIER,
        TIME_MS
    }
}
