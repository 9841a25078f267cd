package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.ColumnPlan;
import io.headrace.operator.plan.ColumnPlan.Role;
import io.headrace.operator.plan.SourcePlan;
import java.math.BigDecimal;
import java.util.regex.Pattern;

/** What the contract says of one column, checked for each value. */
final class ColumnCheck {
    private final String where;
    private final ColumnPlan column;
    private final Pattern pattern;
    private final TimeCheck times;

    ColumnCheck(SourcePlan source, ColumnPlan column) {
        where = source.schema() + "." + column.name();
        this.column = column;
        pattern = column.pattern() == null ? null : PythonPattern.compile(column.pattern());
        times = new TimeCheck(source.earliestMs(), source.latestMs());
    }

    /** The value, if the column may hold it. */
    Object checked(Object found) throws BadRecord {
        if (found == null) {
            return checkedNull();
        }
        if (found instanceof Unfit unfit) {
            return checkedUnfit(unfit);
        }
        switch (column.type()) {
            case STRING -> checkText((String) found);
            case INT64 -> checkInteger((Long) found);
            case FLOAT64 -> checkFloat((Double) found);
            case BOOL -> {}
        }
        return found;
    }

    /** Whether type, form and range are right; not whether it is a good key, time or int64. */
    boolean fits(Object found) {
        if (found == null) {
            return column.nullable();
        }
        if (found instanceof Unfit unfit && unfit.overflow() != 0) {
            return (unfit.overflow() > 0 ? column.maximum() : column.minimum()) == null;
        }
        if (found instanceof String text) {
            return wanted(text) == null;
        }
        try {
            checked(found);
            return true;
        } catch (BadRecord bad) {
            return bad.reason().startsWith("event_time");
        }
    }

    private Object checkedUnfit(Unfit unfit) throws BadRecord {
        if (unfit == Unfit.MISSING) {
            if (column.nullable()) {
                return null;
            }
            throw refused("missing_field", "is missing");
        }
        String reason = unfit.overflow() != 0 ? "integer_overflow" : "wrong_type";
        throw refused(reason, "is " + unfit.shown() + ", expected " + expected());
    }

    private Object checkedNull() throws BadRecord {
        if (column.role() == Role.IDENTIFIER) {
            throw refused("null_key", "is null, expected an identifier");
        }
        if (column.nullable()) {
            return null;
        }
        throw refused("null_value", "is null, expected " + expected());
    }

    private void checkText(String value) throws BadRecord {
        if (value.isEmpty() && column.role() == Role.IDENTIFIER) {
            throw refused("null_key", "is empty, expected an identifier");
        }
        String wanted = wanted(value);
        if (wanted != null) {
            throw refused("bad_format", "is " + Shown.text(value) + ", expected " + wanted);
        }
    }

    /** The length or form that a text should have and has not; null where it has both. */
    private String wanted(String value) {
        int length = value.codePointCount(0, value.length());
        if (column.minLength() != null && length < column.minLength()) {
            return "at least " + column.minLength() + " characters";
        }
        if (column.maxLength() != null && length > column.maxLength()) {
            return "at most " + column.maxLength() + " characters";
        }
        if (pattern != null && !pattern.matcher(value).find()) {
            return "text that matches " + column.pattern();
        }
        return null;
    }

    private void checkInteger(long value) throws BadRecord {
        if (column.role() == Role.TIME_MS) {
            TimeCheck.Problem problem = times.problem(value);
            if (problem != null) {
                throw refused(problem.reason(), "is no plausible time: " + problem.message());
            }
        }
        if (column.minimum() != null && order(value, column.minimum()) < 0) {
            throw outOfRange(Long.toString(value), "at least ", column.minimum());
        }
        if (column.maximum() != null && order(value, column.maximum()) > 0) {
            throw outOfRange(Long.toString(value), "at most ", column.maximum());
        }
    }

    private static int order(long value, Number bound) {
        if (bound instanceof Long number) {
            return Long.compare(value, number);
        }
        return BigDecimal.valueOf(value).compareTo(new BigDecimal(bound.doubleValue()));
    }

    private void checkFloat(double value) throws BadRecord {
        if (!Double.isFinite(value)) {
            throw refused("not_finite", "is not finite, expected a finite number");
        }
        if (column.minimum() != null && value < column.minimum().doubleValue()) {
            throw outOfRange(Shown.real(value), "at least ", column.minimum());
        }
        if (column.maximum() != null && value > column.maximum().doubleValue()) {
            throw outOfRange(Shown.real(value), "at most ", column.maximum());
        }
    }

    private BadRecord outOfRange(String shown, String side, Number bound) {
        return refused("out_of_range", "is " + shown + ", expected " + side + Shown.bound(bound));
    }

    private String expected() {
        if (column.role() == Role.TIME_MS) {
            return "an integer, milliseconds since 1970-01-01 UTC";
        }
        return switch (column.type()) {
            case INT64 -> "a 64-bit integer";
            case FLOAT64 -> "a finite number";
            case STRING -> "text";
            case BOOL -> "true or false";
        };
    }

    private BadRecord refused(String reason, String what) {
        return new BadRecord(reason, where + " " + what);
    }
}
