package io.headrace.operator.expression;

import io.headrace.operator.BadRecord;
import java.math.BigInteger;

/**
 * Adds, subtracts and multiplies: exact in int64 and finite in doubles, or not at all. Divides
 * doubles alone.
 */
enum Arithmetic {
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE;

    static Arithmetic of(String sign) {
        return switch (sign) {
            case "+" -> ADD;
            case "-" -> SUBTRACT;
            case "*" -> MULTIPLY;
            case "/" -> DIVIDE;
            default -> throw new IllegalArgumentException("the plan has an operation " + sign);
        };
    }

    long apply(long left, long right) throws BadRecord {
        try {
            return switch (this) {
                case ADD -> Math.addExact(left, right);
                case SUBTRACT -> Math.subtractExact(left, right);
                case MULTIPLY -> Math.multiplyExact(left, right);
                case DIVIDE -> throw new IllegalArgumentException("integers are not divided");
            };
        } catch (ArithmeticException error) {
            throw new BadRecord(
                    "integer_overflow",
                    "a row expression gives " + exact(left, right) + ", which is outside int64");
        }
    }

    double apply(double left, double right) throws BadRecord {
        double result =
                switch (this) {
                    case ADD -> left + right;
                    case SUBTRACT -> left - right;
                    case MULTIPLY -> left * right;
                    case DIVIDE -> left / right;
                };
        return finite(result);
    }

    /** The result, if it is a finite double. */
    static double finite(double result) throws BadRecord {
        if (!Double.isFinite(result)) {
            String shown = Double.isNaN(result) ? "nan" : result > 0 ? "inf" : "-inf";
            throw new BadRecord(
                    "not_finite",
                    "a row expression gives " + shown + ", which is no finite double");
        }
        return result;
    }

    private BigInteger exact(long left, long right) {
        BigInteger a = BigInteger.valueOf(left);
        BigInteger b = BigInteger.valueOf(right);
        return switch (this) {
            case ADD -> a.add(b);
            case SUBTRACT -> a.subtract(b);
            case MULTIPLY -> a.multiply(b);
            case DIVIDE -> throw new IllegalArgumentException("integers are not divided");
        };
    }
}
