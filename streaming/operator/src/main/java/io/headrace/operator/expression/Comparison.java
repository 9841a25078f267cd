package io.headrace.operator.expression;

/** Compares two values of one kind; a double and an int64 as doubles. */
enum Comparison {
    EQUAL,
    NOT_EQUAL,
    LESS,
    LESS_OR_EQUAL,
    GREATER,
    GREATER_OR_EQUAL;

    static Comparison of(String sign) {
        return switch (sign) {
            case "=" -> EQUAL;
            case "<>" -> NOT_EQUAL;
            case "<" -> LESS;
            case "<=" -> LESS_OR_EQUAL;
            case ">" -> GREATER;
            case ">=" -> GREATER_OR_EQUAL;
            default -> throw new IllegalArgumentException("the plan has a comparison " + sign);
        };
    }

    boolean holds(Object left, Object right) {
        if (left instanceof Double || right instanceof Double) {
            return holds(((Number) left).doubleValue(), ((Number) right).doubleValue());
        }
        return holds(order(left, right), 0);
    }

    // Not by Double.compare, for which -0.0 is below 0.0 and NaN equals itself.
    private boolean holds(double left, double right) {
        return switch (this) {
            case EQUAL -> left == right;
            case NOT_EQUAL -> left != right;
            case LESS -> left < right;
            case LESS_OR_EQUAL -> left <= right;
            case GREATER -> left > right;
            case GREATER_OR_EQUAL -> left >= right;
        };
    }

    private static int order(Object left, Object right) {
        if (left instanceof String text) {
            return byCodePoints(text, (String) right);
        }
        if (left instanceof Boolean truth) {
            return Boolean.compare(truth, (Boolean) right);
        }
        return Long.compare((Long) left, (Long) right);
    }

    // Java compares halves of surrogate pairs, which would put U+1F600 before U+FF5E.
    private static int byCodePoints(String left, String right) {
        int length = Math.min(left.length(), right.length());
        for (int i = 0; i < length; i++) {
            char a = left.charAt(i);
            char b = right.charAt(i);
            if (a != b) {
                boolean pair = Character.isSurrogate(a);
                return pair == Character.isSurrogate(b) ? Character.compare(a, b) : pair ? 1 : -1;
            }
        }
        return Integer.compare(left.length(), right.length());
    }
}
