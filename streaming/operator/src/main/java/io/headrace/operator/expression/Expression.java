package io.headrace.operator.expression;

import io.headrace.operator.BadRecord;

/** A row expression: null, a Long, a Double, a Boolean or a String for the values of a row. */
@FunctionalInterface
public interface Expression {
    /**
     * The value for a row.
     *
     * @throws BadRecord arithmetic that leaves int64 or the finite doubles
     */
    Object evaluate(Object[] row) throws BadRecord;
}
