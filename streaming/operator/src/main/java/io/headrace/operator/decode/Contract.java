package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.ColumnPlan;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.SourcePlan;
import java.util.HashMap;
import java.util.Map;

/** The columns of a source by place and by name, with their checks. */
final class Contract {
    private final String[] names;
    private final ColumnType[] types;
    private final ColumnCheck[] checks;
    private final Map<String, Integer> places = new HashMap<>();

    Contract(SourcePlan source) {
        names = source.columnNames().toArray(String[]::new);
        types = source.columns().stream().map(ColumnPlan::type).toArray(ColumnType[]::new);
        checks =
                source.columns().stream()
                        .map(column -> new ColumnCheck(source, column))
                        .toArray(ColumnCheck[]::new);
        for (int place = 0; place < names.length; place++) {
            places.put(names[place], place);
        }
    }

    int width() {
        return names.length;
    }

    ColumnType type(int place) {
        return types[place];
    }

    ColumnCheck check(int place) {
        return checks[place];
    }

    /** Place of a field, -1 where there is none; most come in the order of the columns. */
    int place(String name, int expected) {
        if (expected < names.length && names[expected].equals(name)) {
            return expected;
        }
        return places.getOrDefault(name, -1);
    }

    /** The values of the columns, if these may hold what was found. */
    Object[] checked(Object[] found) throws BadRecord {
        for (int place = 0; place < found.length; place++) {
            found[place] = checks[place].checked(found[place]);
        }
        return found;
    }
}
