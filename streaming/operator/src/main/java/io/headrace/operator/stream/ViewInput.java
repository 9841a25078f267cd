package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.expression.Expression;
import io.headrace.operator.expression.Expressions;
import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.DerivedColumn;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.ViewPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** What a view takes from a row of its source: filter, derived columns, the columns that it reads. */
final class ViewInput {
    private final int width;
    private final Expression[] derived;
    private final Expression filter;
    private final int[] columns;

    ViewInput(SourcePlan source, ViewPlan view) {
        List<String> names = new ArrayList<>(source.columnNames());
        width = names.size();
        derived =
                view.derived().stream()
                        .map(column -> Expressions.compile(column.expression(), source.columnNames()))
                        .toArray(Expression[]::new);
        view.derived().stream().map(DerivedColumn::name).forEach(names::add);
        filter = view.filter() == null ? null : Expressions.compile(view.filter(), names);
        columns = view.columns().stream().map(ColumnRef::name).mapToInt(names::indexOf).toArray();
    }

    /**
     * The values of the view's columns, or null where the filter leaves the row out.
     *
     * @throws BadRecord they can't be computed
     */
    Object[] values(Object[] row) throws BadRecord {
        try {
            return computed(row);
        } catch (RuntimeException | StackOverflowError failure) {
            throw BadRecord.failed(failure);
        }
    }

    private Object[] computed(Object[] row) throws BadRecord {
        Object[] full = row;
        if (derived.length > 0) {
            full = Arrays.copyOf(row, width + derived.length);
            for (int i = 0; i < derived.length; i++) {
                full[width + i] = derived[i].evaluate(row);
            }
        }
        if (filter != null && !Boolean.TRUE.equals(filter.evaluate(full))) {
            return null;
        }
        Object[] values = new Object[columns.length];
        for (int i = 0; i < columns.length; i++) {
            values[i] = full[columns[i]];
        }
        return values;
    }
}
