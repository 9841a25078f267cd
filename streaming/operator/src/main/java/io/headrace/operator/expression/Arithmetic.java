package io.headrace.operator.expression;

import io.headrace.operator.BadRecord;

/** Adds, subtracts and multiplies: exactly or not at all in int64, finite or not at all in doubles. */
enum Arithmetic {
    ADD,
    SUBTRACT,
    MULTIPLY;

    static Arithmetic of(String sign) {
        return switch (sign) {
            case "+" -> ADD;
            case "-" -> SUBTRACT;
            case "*" -> MULTIPLY;
            default -> throw new IllegalArgumentException("the plan has an operation " + sign);
        };
    }

    long apply(long left, long right) throws BadRecord {
        try {
            return switch (this) {
                case ADD -> Math.addExact(left, right);
                case SUBTRACT -> Math.subtractExact(left, right);
                case MULTIPLY -> Math.multiplyExact(left, right);
            };
        } catch (ArithmeticException error) {
            throw new BadRecord(
                    "integer_overflow", "a row expression gives a number that is outside int64");
        }
    }

    double apply(double left, double right) throws BadRecord {
        double result =
                switch (this) {
                    case ADD -> left + right;
                    case SUBTRACT -> left - right;
                    case MULTIPLY -> left * right;
                };
        if (!Double.isFinite(result)) {
            throw new BadRecord(
                    "not_finite",
                    "a row expression gives " + result + ", which is no finite double");
        }
        return result;
    }
}
